/* SPDX-License-Identifier: Apache-2.0
 * Peaks with vfmadd231ps, with vpmaddubsw plus vpmaddwd and vpaddd (8-bit weights) or vpaddw (4-bit weights),
 * and reading with ymm loads. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 12, LANES = 8, STREAMS = 4 }; /* 12 of 16 registers; two units need 8 to 10 sums in flight */

/* Returns the same value, opaque to the compiler: nothing is merged or hoisted out of a loop. */
RT_VERB __m256 hidden_f32(__m256 x) {
    __asm__ volatile("" : "+x"(x));
    return x;
}
RT_VERB __m256i hidden(__m256i x) {
    __asm__ volatile("" : "+x"(x));
    return x;
}

uint64_t rt_peak_f32_avx2(size_t rounds, int one, float *sums) {
    __m256 x = _mm256_set1_ps((float)one), sum[SUMS], half[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_ps();
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) sum[i] = hidden_f32(_mm256_fmadd_ps(x, x, sum[i]));
    }
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) half[i % 2] = _mm256_add_ps(half[i % 2], sum[i]);
    _mm256_storeu_ps(sums, half[0]);
    _mm256_storeu_ps(sums + LANES, half[1]);
    return (uint64_t)rounds * SUMS * LANES * 2;
}

uint64_t rt_peak_bf16_avx2(size_t rounds, int one, float *sums) {
    return rt_peak_f32_avx2(rounds, one, sums);
}

uint64_t rt_peak_s8_avx2(size_t rounds, int one, float *sums) {
    enum { DEPTH = 4 }; /* products per lane */
    __m256i x = _mm256_set1_epi8((char)one), ones = _mm256_set1_epi16((short)one), sum[SUMS];
    __m256i half[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sum[i] = _mm256_setzero_si256();
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) {
            __m256i pairs = _mm256_maddubs_epi16(hidden(x), x);
            sum[i] = hidden(_mm256_add_epi32(sum[i], _mm256_madd_epi16(pairs, ones)));
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) half[i % 2] = _mm256_add_epi32(half[i % 2], sum[i]);
    _mm256_storeu_ps(sums, _mm256_cvtepi32_ps(half[0]));
    _mm256_storeu_ps(sums + LANES, _mm256_cvtepi32_ps(half[1]));
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}

/* Sums as in gemm_s4_avx2: a round is 16 steps in 16 bits, then one in 32. A sum depends only on vpaddw,
 * with a latency of one cycle, so ten are enough; two totals, x, the ones and a product leave no room for
 * more. One core of a Zen 3: 314 GOP/s; vpmaddubsw alone would reach 415, but vpaddw shares its ports. */
uint64_t rt_peak_s4_avx2(size_t rounds, int one, float *sums) {
    enum { SUMS_16 = 10, STEPS = 16, PRODUCTS = 32 /* per instruction */ };
    __m256i x = _mm256_set1_epi8((char)one), ones = _mm256_set1_epi16((short)one), sum[SUMS_16];
    __m256i half[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 10
        for (int i = 0; i < SUMS_16; i++) sum[i] = hidden(_mm256_setzero_si256());
        for (int step = 0; step < STEPS; step++) {
#pragma GCC unroll 10
            for (int i = 0; i < SUMS_16; i++) {
                x = hidden(x); /* in place: no copy */
                sum[i] = hidden(_mm256_add_epi16(sum[i], _mm256_maddubs_epi16(x, x)));
            }
        }
#pragma GCC unroll 10
        for (int i = 0; i < SUMS_16; i++) {
            half[i % 2] = hidden(_mm256_add_epi32(half[i % 2], _mm256_madd_epi16(sum[i], ones)));
        }
    }
    _mm256_storeu_ps(sums, _mm256_cvtepi32_ps(half[0]));
    _mm256_storeu_ps(sums + LANES, _mm256_cvtepi32_ps(half[1]));
    return (uint64_t)rounds * STEPS * SUMS_16 * PRODUCTS * 2;
}

uint64_t rt_read_sum_avx2(size_t n, const uint64_t *words) {
    enum { WORDS = 4 }; /* of a register */
    __m256i sum[STREAMS];
    uint64_t total = 0, lanes[WORDS];
    size_t each = n / STREAMS / WORDS * WORDS;
#pragma GCC unroll 4
    for (int s = 0; s < STREAMS; s++) sum[s] = _mm256_setzero_si256();
    for (size_t i = 0; i < each; i += WORDS) {
#pragma GCC unroll 4
        for (size_t s = 0; s < STREAMS; s++) {
            sum[s] = _mm256_add_epi64(sum[s], _mm256_loadu_si256((const __m256i *)(words + s * each + i)));
        }
    }
    sum[0] = _mm256_add_epi64(_mm256_add_epi64(sum[0], sum[1]), _mm256_add_epi64(sum[2], sum[3]));
    _mm256_storeu_si256((__m256i *)lanes, sum[0]);
    for (int s = 0; s < WORDS; s++) total += lanes[s];
    for (size_t i = STREAMS * each; i < n; i++) total += words[i];
    return total;
}
