/* SPDX-License-Identifier: Apache-2.0
 * The peak of bf16 with vdpbf16ps on zmm registers. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 16, LANES = 16, DEPTH = 2, ONE = 0x3f80 }; /* 1 as bf16 */

/* Returns the same value, opaque to the compiler. */
RT_VERB __m512 hidden(__m512 x) {
    __asm__ volatile("" : "+v"(x));
    return x;
}

uint64_t rt_peak_bf16_avx512bf16(size_t rounds, int one, float *sums) {
    __m512bh x = (__m512bh)_mm512_set1_epi16((short)(one * ONE));
    __m512 sum[SUMS], total = _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_ps();
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < SUMS; i++) sum[i] = hidden(_mm512_dpbf16_ps(sum[i], x, x));
    }
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) total = _mm512_add_ps(total, sum[i]);
    _mm512_storeu_ps(sums, total);
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}
