/* SPDX-License-Identifier: Apache-2.0
 * The peak of bf16 with bfmmla: 2 x 2 sums of four products each. */
#include "kernel/rows.h"
#include RT_ISA_HEADER

enum { SUMS = 24, LANES = 4, DEPTH = 4, OUT = 4, ONE = 0x3f80 }; /* 1 as bf16 */

/* Returns the same value, opaque to the compiler. */
RT_VERB float32x4_t hidden(float32x4_t x) {
    __asm__ volatile("" : "+w"(x));
    return x;
}

uint64_t rt_peak_bf16_neonbf16(size_t rounds, int one, float *sums) {
    bfloat16x8_t x = vreinterpretq_bf16_u16(vdupq_n_u16((uint16_t)(one * ONE)));
    float32x4_t sum[SUMS], out[OUT];
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) sum[i] = vdupq_n_f32(0.0f);
    for (size_t r = 0; r < rounds; r++) {
#pragma GCC unroll 24
        for (int i = 0; i < SUMS; i++) sum[i] = hidden(vbfmmlaq_f32(sum[i], x, x));
    }
    for (int i = 0; i < OUT; i++) out[i] = vdupq_n_f32(0.0f);
#pragma GCC unroll 24
    for (int i = 0; i < SUMS; i++) out[i % OUT] = vaddq_f32(out[i % OUT], sum[i]);
    for (int i = 0; i < OUT; i++) vst1q_f32(sums + i * LANES, out[i]);
    return (uint64_t)rounds * SUMS * LANES * DEPTH * 2;
}
