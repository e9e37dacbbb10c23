/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/ref/score.h"
#include "kernel/rows.h"

/* p[from…to-1] = exp(s - max); returns 1 / sum, or 0 without keys. */
static float softmax(const rt_attention *at, size_t row, size_t from, size_t to, float *p) {
    float max = -INFINITY, lane[16] = {0};
    for (size_t i = from; i < to; i++) {
        p[i] = ref_score(at, row, i);
        max = p[i] > max ? p[i] : max;
    }
    for (size_t i = from; i < to; i++) {
        p[i] = ref_exp(p[i] - max);
        lane[i % 16] += p[i];
    }
    return from < to ? 1.0f / ref_sum16(lane) : 0.0f;
}

void rt_attention_ref(const rt_attention *at) {
    float *p = at->scratch; /* [keys] */
    for (size_t r = 0; r < at->queries; r++) {
        size_t from, to;
        rt_attention_keys(at, r, r + 1, &from, &to);
        float inverse = softmax(at, r, from, to, p);
        for (size_t d = 0; d < at->dim; d++) {
            float sum = 0.0f;
            for (size_t i = from; i < to; i++) sum = fmaf(p[i], at->v[i * at->ldv + d], sum);
            sum *= inverse;
            if (at->out != NULL) at->out[r * at->ldo + d] = sum;
            if (at->out16 != NULL) at->out16[r * at->ldo16 + d] = rt_f32_to_bf16(sum);
        }
    }
}
