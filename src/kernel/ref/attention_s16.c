/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/integers.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

static int rounded(float x, float factor, int levels) {
    float y = x * factor, most = (float)levels;
    y = y > -most ? y : -most;
    return (int)rintf(y < most ? y : most);
}

/* The factor for n floats, `step` apart. */
static float factor_of(const float *x, size_t n, size_t step, int levels, float *scale) {
    float most = 0.0f;
    for (size_t i = 0; i < n; i++) most = fabsf(x[i * step]) > most ? fabsf(x[i * step]) : most;
    return rt_levels(most, levels, scale);
}

/* p[keys] = exp(s - max), rounded to integers; returns 1 / their sum, or 0 without keys. */
static float softmax(const rt_attention *at, const float *q, float *p) {
    float q_scale, max = -INFINITY, lane[16] = {0};
    float q_factor = factor_of(q, at->dim, 1, RT_SCORE_LEVELS, &q_scale);
    for (size_t i = 0; i < at->keys; i++) {
        const float *k = at->k + i * at->ldk;
        float k_scale, k_factor = factor_of(k, at->dim, 1, RT_SCORE_LEVELS, &k_scale);
        int32_t sum = 0;
        for (size_t d = 0; d < at->dim; d++) {
            sum += rounded(q[d], q_factor, RT_SCORE_LEVELS) * rounded(k[d], k_factor, RT_SCORE_LEVELS);
        }
        p[i] = (float)sum * (q_scale * at->scale) * k_scale;
        max = p[i] > max ? p[i] : max;
    }
    for (size_t i = 0; i < at->keys; i++) {
        float chance = ref_exp(p[i] - max) * (float)RT_CHANCE_LEVELS;
        chance = chance > 0.0f ? chance : 0.0f;
        p[i] = rintf(chance < (float)RT_CHANCE_LEVELS ? chance : (float)RT_CHANCE_LEVELS);
        lane[i % 16] += p[i];
    }
    return at->keys > 0 ? 1.0f / ref_sum16(lane) : 0.0f;
}

void rt_attention_s16_ref(const rt_attention *at) {
    float *p = at->scratch; /* [keys] */
    int levels = rt_value_levels(at->keys);
    for (size_t r = 0; r < at->queries; r++) {
        float inverse = softmax(at, at->q + r * at->ldq, p);
        for (size_t d = 0; d < at->dim; d++) {
            float scale, factor = factor_of(at->v + d, at->keys, at->ldv, levels, &scale);
            int32_t sum = 0;
            for (size_t i = 0; i < at->keys; i++) {
                sum += (int)p[i] * rounded(at->v[i * at->ldv + d], factor, levels);
            }
            at->out[r * at->ldo + d] = (float)sum * inverse * scale;
        }
    }
}
