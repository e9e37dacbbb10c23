/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/attention.h"
#include "kernel/ref/score.h"
#include "kernel/rows.h"

static float dot(size_t n, const float *a, const float *b) {
    float sum = 0.0f;
    for (size_t d = 0; d < n; d++) sum = fmaf(a[d], b[d], sum);
    return sum;
}

/* y += factor x */
static void add_times(size_t n, float factor, const float *x, float *y) {
    for (size_t d = 0; d < n; d++) y[d] = fmaf(factor, x[d], y[d]);
}

/* p[keys], ds[keys] of query `row` of all; keys are those from `from` on. */
static void scores(const rt_attention_back *all, const rt_attention_back *block, size_t row, size_t from,
                   float *p, float *ds) {
    const rt_attention forward = rt_attention_forward(all);
    const float *dy = all->dy + row * all->ldy;
    float max = -INFINITY, lane[16] = {0}, along[16] = {0};
    size_t first, end;
    rt_attention_keys(&forward, row, row + 1, &first, &end);
    for (size_t j = 0; j < block->keys; j++) p[j] = ds[j] = 0.0f;
    for (size_t j = first - from; j < end - from; j++) {
        p[j] = ref_score(&forward, row, from + j);
        max = p[j] > max ? p[j] : max;
    }
    for (size_t j = first - from; j < end - from; j++) {
        p[j] = ref_exp(p[j] - max);
        lane[j % 16] += p[j];
    }
    float inverse = 1.0f / ref_sum16(lane);
    for (size_t j = first - from; j < end - from; j++) {
        p[j] *= inverse;
        ds[j] = dot(all->dim, dy, block->v + j * all->ldv);
        along[j % 16] = fmaf(p[j], ds[j], along[j % 16]);
    }
    float sum = ref_sum16(along);
    for (size_t j = first - from; j < end - from; j++) ds[j] = p[j] * ((ds[j] - sum) * all->scale);
}

/* to[j][d] += sum over the queries of factor[query][j] x[query][d] */
static void add_turned(const rt_attention_back *at, const float *factor, const float *x, size_t ldx,
                       float *to, size_t ldo) {
    for (size_t j = 0; j < at->keys; j++) {
        for (size_t d = 0; d < at->dim; d++) {
            float sum = 0.0f;
            for (size_t r = 0; r < at->queries; r++)
                sum = fmaf(factor[r * at->keys + j], x[r * ldx + d], sum);
            to[j * ldo + d] += sum;
        }
    }
}

/* The tables' part of a query, which stands at `place`. */
static void back_tables(const rt_attention_back *at, size_t query, ptrdiff_t place, const float *ds) {
    const rt_relative_back *t = at->tables;
    const float *q = at->q + query * at->ldq;
    for (size_t j = 0; j < at->keys; j++) {
        size_t row = rt_relative_row(t, (ptrdiff_t)j - place), at_row = row * t->ld;
        if (t->dbias != NULL) t->dbias[row] += ds[j] / at->scale;
        if (t->key != NULL) add_times(at->dim, ds[j], t->key + at_row, at->dq + query * at->ldq);
        if (t->dkey != NULL) add_times(at->dim, ds[j], q, t->dkey + at_row);
        if (t->query != NULL) add_times(at->dim, ds[j], t->query + at_row, at->dk + j * at->ldk);
        if (t->dquery != NULL) add_times(at->dim, ds[j], at->k + j * at->ldk, t->dquery + at_row);
    }
}

void rt_attention_back_ref(const rt_attention_back *at) {
    float *p = at->scratch, *ds = p + RT_ATTENTION_BACK_QUERIES * at->keys;
    if (at->keys == 0) return;
    for (size_t row = 0; row < at->queries; row += RT_ATTENTION_BACK_QUERIES) {
        size_t from;
        rt_attention_back block =
            rt_attention_back_block(at, row, rt_min(RT_ATTENTION_BACK_QUERIES, at->queries - row), &from);
        for (size_t r = 0; r < block.queries; r++) {
            float *of = ds + r * block.keys, *dq = block.dq + r * at->ldq;
            scores(at, &block, row + r, from, p + r * block.keys, of);
            for (size_t d = 0; d < at->dim; d++) {
                float sum = 0.0f;
                for (size_t j = 0; j < block.keys; j++) sum = fmaf(of[j], block.k[j * at->ldk + d], sum);
                dq[d] += sum;
            }
        }
        add_turned(&block, p, block.dy, at->ldy, block.dv, at->ldv);
        add_turned(&block, ds, block.q, at->ldq, block.dk, at->ldk);
        for (size_t r = 0; at->tables != NULL && r < block.queries; r++)
            back_tables(&block, r, rt_attention_place(at->relative, row + r), ds + r * block.keys);
    }
}
