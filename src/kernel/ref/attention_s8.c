/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/integers.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

static int rounded(float x, float factor) {
    float y = x * factor;
    y = y > -RT_ATTENTION_LEVELS ? y : -RT_ATTENTION_LEVELS;
    return (int)rintf(y < RT_ATTENTION_LEVELS ? y : RT_ATTENTION_LEVELS);
}

/* The factor for x[dim] * by. */
static float row_factor(const float *x, float by, size_t dim, float *scale) {
    float most = 0.0f;
    for (size_t d = 0; d < dim; d++) most = fabsf(x[d] * by) > most ? fabsf(x[d] * by) : most;
    return rt_levels(most, scale);
}

/* The factor for a column of V, less its mean. */
static float column_factor(const rt_attention *at, const float *v, float *mean, float *scale) {
    float low = INFINITY, high = -INFINITY, sum = 0.0f;
    for (size_t i = 0; i < at->keys; i++) {
        float x = v[i * at->ldv];
        low = x < low ? x : low;
        high = x > high ? x : high;
        sum += x;
    }
    *mean = sum * (at->keys > 0 ? 1.0f / (float)at->keys : 0.0f);
    return rt_levels(high - *mean > *mean - low ? high - *mean : *mean - low, scale);
}

static float chance(float y) {
    y = y > RT_CHANCE_LOW ? y : RT_CHANCE_LOW;
    float n = rintf(y);
    return ldexpf(ref_poly(rt_chance_poly, 4, y - n), (int)n);
}

/* p[from…to-1] = 255 exp(s - max), rounded; returns 1 / the sum of the unrounded ones, or 0 without keys. */
static float softmax(const rt_attention *at, size_t row, size_t from, size_t to, float *p) {
    const float *q = at->q + row * at->ldq;
    const float *bias = at->relative != NULL ? at->relative->bias_back : NULL;
    float q_scale, max = -INFINITY, total = 0.0f;
    float q_factor = row_factor(q, at->scale, at->dim, &q_scale);
    for (size_t i = from; i < to; i++) {
        const float *k = at->k + i * at->ldk;
        float k_scale, k_factor = row_factor(k, 1.0f, at->dim, &k_scale);
        int32_t sum = 0;
        for (size_t d = 0; d < at->dim; d++) {
            sum += rounded(q[d] * at->scale, q_factor) * rounded(k[d], k_factor);
        }
        p[i] = (float)sum * k_scale;
        if (bias != NULL) p[i] = fmaf(p[i], q_scale, bias[(ptrdiff_t)row - (ptrdiff_t)i]);
        max = p[i] > max ? p[i] : max;
    }
    float factor = bias != NULL ? RT_LOG2E : q_scale * RT_LOG2E;
    for (size_t i = from; i < to; i++) {
        float e = chance(fmaf(p[i] - max, factor, RT_CHANCE_LOG2));
        total += e;
        p[i] = rintf(e);
    }
    return total > 0.0f ? 1.0f / total : 0.0f;
}

void rt_attention_s8_ref(const rt_attention *at) {
    float *p = at->scratch; /* [keys] */
    for (size_t r = 0; r < at->queries; r++) {
        size_t from, to;
        rt_attention_keys(at, r, r + 1, &from, &to);
        float inverse = softmax(at, r, from, to, p);
        for (size_t d = 0; d < at->dim; d++) {
            float mean, scale, factor = column_factor(at, at->v + d, &mean, &scale);
            int32_t sum = 0;
            for (size_t i = from; i < to; i++) {
                sum += (int)p[i] * rounded(at->v[i * at->ldv + d] - mean, factor);
            }
            float out = fmaf((float)sum * inverse, scale, mean);
            if (at->out != NULL) at->out[r * at->ldo + d] = out;
            if (at->out16 != NULL) at->out16[r * at->ldo16 + d] = rt_f32_to_bf16(out);
        }
    }
}
