/* SPDX-License-Identifier: Apache-2.0
 * Peaks with fmla, with smull plus sadalp, and reading with q loads. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 24, LANES = 4, STREAMS = 4, OUT = 4 }; /* up to four units with a latency of 4 */

/* Returns the same value, opaque to the compiler: nothing is merged or hoisted out of a loop. */
RT_VERB float32x4_t hidden_f32(float32x4_t x) {
    __asm__ volatile("" : "+w"(x));
    return x;
}
RT_VERB int32x4_t hidden_s32(int32x4_t x) {
    __asm__ volatile("" : "+w"(x));
    return x;
}
RT_VERB int8x8_t hidden_s8(int8x8_t x) {
    __asm__ volatile("" : "+w"(x));
    return x;
}

uint64_t rt_peak_f32_neon(size_t rounds, int one, float *sums) {
    float32x4_t x = vdupq_n_f32((float)one), sum[SUMS], out[OUT];
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) sum[i] = vdupq_n_f32(0.0f);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) sum[i] = hidden_f32(vfmaq_f32(sum[i], x, x));
    }
    for (int i = 0; i < OUT; i++) out[i] = vdupq_n_f32(0.0f);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) out[i % OUT] = vaddq_f32(out[i % OUT], sum[i]);
    for (int i = 0; i < OUT; i++) vst1q_f32(sums + i * LANES, out[i]);
    return (uint64_t)rounds * SUMS * LANES * 2;
}

uint64_t rt_peak_bf16_neon(size_t rounds, int one, float *sums) {
    return rt_peak_f32_neon(rounds, one, sums);
}

uint64_t rt_peak_s8_neon(size_t rounds, int one, float *sums) {
    enum { DEPTH = 2 }; /* products per lane */
    int8x8_t x = vdup_n_s8((int8_t)one);
    int32x4_t sum[SUMS], out[OUT];
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) sum[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) sum[i] = hidden_s32(vpadalq_s16(sum[i], vmull_s8(hidden_s8(x), x)));
    }
    for (int i = 0; i < OUT; i++) out[i] = vdupq_n_s32(0);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) out[i % OUT] = vaddq_s32(out[i % OUT], sum[i]);
    for (int i = 0; i < OUT; i++) vst1q_f32(sums + i * LANES, vcvtq_f32_s32(out[i]));
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}

uint64_t rt_peak_s4_neon(size_t rounds, int one, float *sums) {
    return rt_peak_s8_neon(rounds, one, sums);
}

uint64_t rt_read_sum_neon(size_t n, const uint64_t *words) {
    enum { WORDS = 2 }; /* of a register */
    uint64x2_t sum[STREAMS];
    size_t each = n / STREAMS / WORDS * WORDS;
#pragma GCC unroll 4
    for (int s = 0; s < STREAMS; s++) sum[s] = vdupq_n_u64(0);
    for (size_t i = 0; i < each; i += WORDS) {
#pragma GCC unroll 4
        for (size_t s = 0; s < STREAMS; s++) sum[s] = vaddq_u64(sum[s], vld1q_u64(words + s * each + i));
    }
    uint64_t total = vaddvq_u64(vaddq_u64(vaddq_u64(sum[0], sum[1]), vaddq_u64(sum[2], sum[3])));
    for (size_t i = STREAMS * each; i < n; i++) total += words[i];
    return total;
}
