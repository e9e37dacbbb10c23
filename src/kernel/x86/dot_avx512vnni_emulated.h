/* SPDX-License-Identifier: Apache-2.0
 * dot_avx512vnni.h over the emulated intrinsics of vec_avx512_emulated.h. */
#ifndef RT_KERNEL_X86_DOT_AVX512VNNI_EMULATED_H
#define RT_KERNEL_X86_DOT_AVX512VNNI_EMULATED_H

#include "kernel/x86/dot_avx512vnni.h"

#undef RT_DOT
#undef S16_KEEP
#define RT_DOT(name)  rt_##name##_avx512vnni_emulated
#define S16_KEEP(sum) (void)(sum)

#endif
