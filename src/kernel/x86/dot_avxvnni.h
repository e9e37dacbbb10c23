/* SPDX-License-Identifier: Apache-2.0
 * AVX-VNNI: vpdpbusd of CPUs without AVX-512 (VEX encoding). */
#ifndef RT_KERNEL_X86_DOT_AVXVNNI_H
#define RT_KERNEL_X86_DOT_AVXVNNI_H

#define RT_DOT(name)         rt_##name##_avxvnni
#define RT_VPDPBUSD(s, a, w) _mm256_dpbusd_avx_epi32(s, a, w)
#include "kernel/x86/dot_vpdpbusd256.h"

#endif
