/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

/* p[keys] = exp(scale * k q - max); returns 1 / sum, or 0 without keys. */
static float softmax(const rt_attention *at, const float *q, float *p) {
    float max = -INFINITY, lane[16] = {0};
    for (size_t i = 0; i < at->keys; i++) {
        float dot = 0.0f;
        for (size_t d = 0; d < at->dim; d++) dot = fmaf(q[d], at->k[i * at->ldk + d], dot);
        p[i] = dot * at->scale;
        max = p[i] > max ? p[i] : max;
    }
    for (size_t i = 0; i < at->keys; i++) {
        p[i] = ref_exp(p[i] - max);
        lane[i % 16] += p[i];
    }
    return at->keys > 0 ? 1.0f / ref_sum16(lane) : 0.0f;
}

void rt_attention_ref(const rt_attention *at) {
    float *p = at->scratch; /* [keys] */
    for (size_t r = 0; r < at->queries; r++) {
        float inverse = softmax(at, at->q + r * at->ldq, p);
        for (size_t d = 0; d < at->dim; d++) {
            float sum = 0.0f;
            for (size_t i = 0; i < at->keys; i++) sum = fmaf(p[i], at->v[i * at->ldv + d], sum);
            sum *= inverse;
            if (at->out != NULL) at->out[r * at->ldo + d] = sum;
            if (at->out16 != NULL) at->out16[r * at->ldo16 + d] = rt_f32_to_bf16(sum);
        }
    }
}
