/* SPDX-License-Identifier: Apache-2.0
 * Declares the function of every row of emulated_list.h. */
#ifndef RT_KERNEL_X86_EMULATED_ROWS_H
#define RT_KERNEL_X86_EMULATED_ROWS_H

#include "kernel/rows.h"

#define KERNEL(family, row, needs, bound) rt_##family##_kernel rt_##row;
#include "kernel/x86/emulated_list.h"

#endif
