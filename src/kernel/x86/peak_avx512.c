/* SPDX-License-Identifier: Apache-2.0
 * Peaks with vfmadd231ps on zmm registers, and reading with zmm loads. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 16, LANES = 16, STREAMS = 4 };

/* Returns the same value, opaque to the compiler. */
RT_VERB __m512 hidden(__m512 x) {
    __asm__ volatile("" : "+v"(x));
    return x;
}

uint64_t rt_peak_f32_avx512(size_t rounds, int one, float *sums) {
    __m512 x = _mm512_set1_ps((float)one), sum[SUMS], total = _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) sum[i] = _mm512_setzero_ps();
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < SUMS; i++) sum[i] = hidden(_mm512_fmadd_ps(x, x, sum[i]));
    }
#pragma GCC unroll 16
    for (int i = 0; i < SUMS; i++) total = _mm512_add_ps(total, sum[i]);
    _mm512_storeu_ps(sums, total);
    return (uint64_t)rounds * SUMS * LANES * 2;
}

uint64_t rt_peak_bf16_avx512(size_t rounds, int one, float *sums) {
    return rt_peak_f32_avx512(rounds, one, sums);
}

uint64_t rt_read_sum_avx512(size_t n, const uint64_t *words) {
    enum { WORDS = 8 }; /* of a register */
    __m512i sum[STREAMS];
    uint64_t total = 0, lanes[WORDS];
    size_t each = n / STREAMS / WORDS * WORDS;
#pragma GCC unroll 4
    for (int s = 0; s < STREAMS; s++) sum[s] = _mm512_setzero_si512();
    for (size_t i = 0; i < each; i += WORDS) {
#pragma GCC unroll 4
        for (size_t s = 0; s < STREAMS; s++) {
            sum[s] = _mm512_add_epi64(sum[s], _mm512_loadu_si512(words + s * each + i));
        }
    }
    sum[0] = _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
    _mm512_storeu_si512(lanes, sum[0]);
    for (int s = 0; s < WORDS; s++) total += lanes[s];
    for (size_t i = STREAMS * each; i < n; i++) total += words[i];
    return total;
}
