/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

/* The sum over d, ascending, of x and a column of a P16 table. */
static float with_column(const rt_attention *at, const float *x, const float *table, int32_t column) {
    size_t c = (size_t)column;
    const float *panel = table + c / RT_PANEL * at->dim * RT_PANEL + c % RT_PANEL;
    float dot = 0.0f;
    for (size_t d = 0; d < at->dim; d++) dot = fmaf(x[d], panel[d * RT_PANEL], dot);
    return dot;
}

/* The score of key i for the query of this row, scaled. */
static float score(const rt_attention *at, size_t row, size_t i) {
    const rt_relative *relative = at->relative;
    const float *q = at->q + row * at->ldq, *k = at->k + i * at->ldk;
    float dot = 0.0f;
    for (size_t d = 0; d < at->dim; d++) dot = fmaf(q[d], k[d], dot);
    if (relative == NULL) return dot * at->scale;
    ptrdiff_t place = relative->places != NULL ? relative->places[row] - relative->start : (ptrdiff_t)row,
              distance = (ptrdiff_t)i - place;
    if (relative->key != NULL) dot += with_column(at, q, relative->key, relative->column[distance]);
    if (relative->query != NULL) dot += with_column(at, k, relative->query, relative->column[distance]);
    return relative->bias != NULL ? fmaf(dot, at->scale, relative->bias[distance]) : dot * at->scale;
}

/* p[from…to-1] = exp(s - max); returns 1 / sum, or 0 without keys. */
static float softmax(const rt_attention *at, size_t row, size_t from, size_t to, float *p) {
    float max = -INFINITY, lane[16] = {0};
    for (size_t i = from; i < to; i++) {
        p[i] = score(at, row, i);
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
