/* SPDX-License-Identifier: Apache-2.0
 * The peak of int8, for weights of 8 and of 4 bits, with sdot. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 24, LANES = 4, DEPTH = 4, OUT = 4 };

/* Returns the same value, opaque to the compiler. */
RT_VERB int32x4_t hidden(int32x4_t x) {
    __asm__ volatile("" : "+w"(x));
    return x;
}

uint64_t rt_peak_s8_dotprod(size_t rounds, int one, float *sums) {
    int8x16_t x = vdupq_n_s8((int8_t)one);
    int32x4_t sum[SUMS], out[OUT];
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) sum[i] = vdupq_n_s32(0);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) sum[i] = hidden(vdotq_s32(sum[i], x, x));
    }
    for (int i = 0; i < OUT; i++) out[i] = vdupq_n_s32(0);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) out[i % OUT] = vaddq_s32(out[i % OUT], sum[i]);
    for (int i = 0; i < OUT; i++) vst1q_f32(sums + i * LANES, vcvtq_f32_s32(out[i]));
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}

uint64_t rt_peak_s4_dotprod(size_t rounds, int one, float *sums) {
    return rt_peak_s8_dotprod(rounds, one, sums);
}
