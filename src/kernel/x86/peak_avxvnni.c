/* SPDX-License-Identifier: Apache-2.0
 * The peak of int8, for weights of 8 and of 4 bits, with the vpdpbusd of AVX-VNNI. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 12, LANES = 8, DEPTH = 4 };

/* Returns the same value, opaque to the compiler. */
RT_VERB __m256i hidden(__m256i x) {
    __asm__ volatile("" : "+x"(x));
    return x;
}

uint64_t rt_peak_s8_avxvnni(size_t rounds, int one, float *sums) {
    __m256i x = _mm256_set1_epi8((char)one), sum[SUMS];
    __m256i half[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) sum[i] = hidden(_mm256_dpbusd_avx_epi32(sum[i], x, x));
    }
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) half[i % 2] = _mm256_add_epi32(half[i % 2], sum[i]);
    _mm256_storeu_ps(sums, _mm256_cvtepi32_ps(half[0]));
    _mm256_storeu_ps(sums + LANES, _mm256_cvtepi32_ps(half[1]));
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}

uint64_t rt_peak_s4_avxvnni(size_t rounds, int one, float *sums) {
    return rt_peak_s8_avxvnni(rounds, one, sums);
}
