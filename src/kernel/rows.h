/* SPDX-License-Identifier: Apache-2.0
 * Declares the function of every row of list.h. */
#ifndef RT_KERNEL_ROWS_H
#define RT_KERNEL_ROWS_H

#include "kernel/kernel.h"

#define FAMILY_TYPE(family, type) typedef __typeof__(*(type)0) rt_##family##_kernel;
RT_KERNEL_FAMILIES(FAMILY_TYPE)
#undef FAMILY_TYPE

#define KERNEL(family, row, needs, bound) rt_##family##_kernel rt_##row;
#include "kernel/list.h"

#endif
