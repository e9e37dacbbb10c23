/* SPDX-License-Identifier: Apache-2.0
 * dot_avxvnni.h over an emulated vpdpbusd. */
#ifndef RT_KERNEL_X86_DOT_AVXVNNI_EMULATED_H
#define RT_KERNEL_X86_DOT_AVXVNNI_EMULATED_H

#include "kernel/x86/emulated_avx512.h"
#include "kernel/x86/emulated_rows.h"
#include "kernel/x86/dot_avxvnni.h"

#undef RT_DOT
#define RT_DOT(name) rt_##name##_avxvnni_emulated

#endif
