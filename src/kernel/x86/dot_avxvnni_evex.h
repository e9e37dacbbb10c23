/* SPDX-License-Identifier: Apache-2.0
 * The AVX-VNNI kernels with the EVEX encoding of AVX-512, so that they can be tested there. */
#ifndef RT_KERNEL_X86_DOT_AVXVNNI_EVEX_H
#define RT_KERNEL_X86_DOT_AVXVNNI_EVEX_H

#include "kernel/x86/emulated_rows.h"

#define RT_DOT(name)         rt_##name##_avxvnni_evex
#define RT_VPDPBUSD(s, a, w) _mm256_dpbusd_epi32(s, a, w)
#include "kernel/x86/dot_vpdpbusd256.h"

#endif
