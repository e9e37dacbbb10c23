/* SPDX-License-Identifier: Apache-2.0
 * vec_avx512.h with emulated intrinsics, so that the code using it can be tested on CPUs without AVX-512. */
#ifndef RT_KERNEL_X86_VEC_AVX512_EMULATED_H
#define RT_KERNEL_X86_VEC_AVX512_EMULATED_H

#include "kernel/x86/emulated_avx512.h"
#include "kernel/x86/emulated_rows.h"
#include "kernel/x86/vec_avx512.h"

#undef RT_ISA
#define RT_ISA(name) rt_##name##_avx512_emulated
/* One body for all tiles: gcc takes 30 s for 24 of them, inlined with SIMDe's functions. */
#undef RT_TILE_BODY
#define RT_TILE_BODY            static __attribute__((noinline, noclone))
#define rt_gemm_bf16_avx512bf16 rt_gemm_bf16_avx512bf16_emulated /* which names itself */

#endif
