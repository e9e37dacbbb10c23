/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/attention.h"
#include "kernel/ref/scalar.h"
#include "kernel/rows.h"

static float dot(size_t n, const float *a, const float *b) {
    float sum = 0.0f;
    for (size_t d = 0; d < n; d++) sum = fmaf(a[d], b[d], sum);
    return sum;
}

/* p[keys], ds[keys] of one query */
static void scores(const rt_attention_back *at, size_t row, float *p, float *ds) {
    const float *q = at->q + row * at->ldq, *dy = at->dy + row * at->ldy;
    float max = -INFINITY, lane[16] = {0}, along[16] = {0};
    for (size_t j = 0; j < at->keys; j++) {
        p[j] = dot(at->dim, q, at->k + j * at->ldk) * at->scale;
        max = p[j] > max ? p[j] : max;
    }
    for (size_t j = 0; j < at->keys; j++) {
        p[j] = ref_exp(p[j] - max);
        lane[j % 16] += p[j];
    }
    float inverse = 1.0f / ref_sum16(lane);
    for (size_t j = 0; j < at->keys; j++) {
        p[j] *= inverse;
        ds[j] = dot(at->dim, dy, at->v + j * at->ldv);
        along[j % 16] = fmaf(p[j], ds[j], along[j % 16]);
    }
    float sum = ref_sum16(along);
    for (size_t j = 0; j < at->keys; j++) ds[j] = p[j] * ((ds[j] - sum) * at->scale);
}

/* to[j][d] += sum over the rows of factor[row][j] x[row][d] */
static void add_turned(const rt_attention_back *at, size_t rows, const float *factor, const float *x,
                       size_t ldx, float *to, size_t ldo) {
    for (size_t j = 0; j < at->keys; j++) {
        for (size_t d = 0; d < at->dim; d++) {
            float sum = 0.0f;
            for (size_t r = 0; r < rows; r++) sum = fmaf(factor[r * at->keys + j], x[r * ldx + d], sum);
            to[j * ldo + d] += sum;
        }
    }
}

void rt_attention_back_ref(const rt_attention_back *at) {
    float *p = at->scratch, *ds = p + RT_ATTENTION_BACK_QUERIES * at->keys;
    if (at->keys == 0) return;
    for (size_t row = 0; row < at->queries; row += RT_ATTENTION_BACK_QUERIES) {
        size_t rows = rt_min(RT_ATTENTION_BACK_QUERIES, at->queries - row);
        for (size_t r = 0; r < rows; r++) {
            float *of = ds + r * at->keys, *dq = at->dq + (row + r) * at->ldq;
            scores(at, row + r, p + r * at->keys, of);
            for (size_t d = 0; d < at->dim; d++) {
                float sum = 0.0f;
                for (size_t j = 0; j < at->keys; j++) sum = fmaf(of[j], at->k[j * at->ldk + d], sum);
                dq[d] += sum;
            }
        }
        add_turned(at, rows, p, at->dy + row * at->ldy, at->ldy, at->dv, at->ldv);
        add_turned(at, rows, ds, at->q + row * at->ldq, at->ldq, at->dk, at->ldk);
    }
}
