/* SPDX-License-Identifier: Apache-2.0
 * The peak of int8, for weights of 8 and of 4 bits, with vpdpbusd on zmm registers. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 16, LANES = 16, DEPTH = 4 };

/* Returns the same value, opaque to the compiler. */
RT_VERB __m512i hidden(__m512i x) {
    __asm__ volatile("" : "+v"(x));
    return x;
}

uint64_t rt_peak_s8_avx512vnni(size_t rounds, int one, float *sums) {
    __m512i x = _mm512_set1_epi8((char)one), sum[SUMS], total = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_si512();
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < SUMS; i++) sum[i] = hidden(_mm512_dpbusd_epi32(sum[i], x, x));
    }
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) total = _mm512_add_epi32(total, sum[i]);
    _mm512_storeu_ps(sums, _mm512_cvtepi32_ps(total));
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}

uint64_t rt_peak_s4_avx512vnni(size_t rounds, int one, float *sums) {
    return rt_peak_s8_avx512vnni(rounds, one, sums);
}
