/* SPDX-License-Identifier: Apache-2.0
 * Each sum becomes itself times one plus one, so that no product can be hoisted out of the loop. */
#include "kernel/rows.h"

enum { SUMS = 32, OUT = 16 }; /* 8 registers of SSE2 or NEON */

uint64_t rt_peak_f32_ref(size_t rounds, int one, float *sums) {
    float x = (float)one, sum[SUMS] = {0};
    for (size_t r = 0; r < rounds; r++) {
        for (size_t i = 0; i < SUMS; i++) sum[i] = sum[i] * x + x;
    }
    for (size_t i = 0; i < OUT; i++) sums[i] = sum[i] + sum[i + OUT];
    return (uint64_t)rounds * SUMS * 2;
}

uint64_t rt_peak_bf16_ref(size_t rounds, int one, float *sums) {
    return rt_peak_f32_ref(rounds, one, sums);
}

uint64_t rt_peak_s8_ref(size_t rounds, int one, float *sums) {
    uint32_t x = (uint32_t)one, sum[SUMS] = {0};
    for (size_t r = 0; r < rounds; r++) {
        for (size_t i = 0; i < SUMS; i++) sum[i] = sum[i] * x + x;
    }
    for (size_t i = 0; i < OUT; i++) sums[i] = (float)(int32_t)(sum[i] + sum[i + OUT]);
    return (uint64_t)rounds * SUMS * 2;
}

uint64_t rt_peak_s4_ref(size_t rounds, int one, float *sums) {
    return rt_peak_s8_ref(rounds, one, sums);
}

uint64_t rt_read_sum_ref(size_t n, const uint64_t *words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += words[i];
    return sum;
}
