/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of the attention of one head: all five products use the register tiles of gemm_f32, on a block of queries
 * at a time. */
#include "kernel/attention.h"
#include "kernel/rows.h"
#include "kernel/vec/relative.h"
#include "kernel/vec/softmax.h"

#include <math.h>

enum { BLOCK = RT_ATTENTION_BACK_QUERIES };

/* The parts of the scratch. */
typedef struct room {
    size_t stride;      /* of p and ds */
    float *keys_turned; /* K^T and V^T [keys/16][dim][16] */
    float *values_turned;
    float *keys;          /* K [dim/16][keys][16] */
    float *p, *ds;        /* [BLOCK][stride] */
    float *turned;        /* p or ds, transposed: [keys][BLOCK] */
    float *queries, *dys; /* [dim/16][rows][16] */
    relative_room relative;
} room;

static room cut(const rt_attention_back *at) {
    size_t keys = rt_round_up(at->keys, RT_PANEL), wide = rt_round_up(at->dim, RT_PANEL);
    room r = {.stride = rt_attention_stride(at->keys), .keys_turned = at->scratch};
    r.values_turned = r.keys_turned + keys * wide;
    r.keys = r.values_turned + keys * wide;
    r.p = r.keys + keys * wide;
    r.ds = r.p + BLOCK * r.stride;
    r.turned = r.ds + BLOCK * r.stride;
    r.queries = r.turned + keys * BLOCK;
    r.dys = r.queries + wide * BLOCK;
    r.relative = relative_cut(at->keys, r.dys + wide * BLOCK);
    return r;
}

/* Transposes the rows of x [n, dim] into panels [n/16][dim][16]; rows beyond the last are 0. */
static void turn_rows(size_t n, size_t dim, const float *x, size_t ldx, float *panels) {
    for (size_t row = 0; row < n; row += RT_PANEL, panels += dim * RT_PANEL) {
        for (size_t d = 0; d < dim; d += 16) {
            v16 block[16];
            for (size_t i = 0; i < 16; i++)
                block[i] = row + i < n ? v16_load_n(x + (row + i) * ldx + d, dim - d) : v16_set(0.0f);
            v16_transpose(block);
            for (size_t i = 0; i < rt_min(16, dim - d); i++) v16_store(panels + (d + i) * RT_PANEL, block[i]);
        }
    }
}

/* x [n, dim] into panels [dim/16][n][16] */
static void pack_rows(size_t n, size_t dim, const float *x, size_t ldx, float *panels) {
    for (size_t d = 0; d < dim; d += RT_PANEL) {
        for (size_t i = 0; i < n; i++, panels += RT_PANEL)
            v16_store(panels, v16_load_n(x + i * ldx + d, dim - d));
    }
}

/* c[m][n] = a b, whole panels of columns */
static void multiply(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, float *c,
                     size_t ldc) {
    size_t blocks = block_count(m), all = (n + RT_PANEL - 1) / RT_PANEL;
    for (size_t block = 0, i = 0; block < blocks; block++) {
        size_t rows = block_rows(m, blocks, block), wide = v16_panels(rows);
        for (size_t p = 0; p < all; p += wide) {
            rt_sums_tile *tile = RT_ISA(sums_f32)[rt_min(wide, all - p) - 1][rows - 1];
            tile(a + i * lda, lda, b + p * k * RT_PANEL, k, c + i * ldc + p * RT_PANEL, ldc);
        }
        i += rows;
    }
}

/* c[m][n] += a b */
static void multiply_add(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, float *c,
                         size_t ldc) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
    size_t blocks = block_count(m);
    for (size_t block = 0, i = 0; block < blocks; block++) {
        size_t rows = block_rows(m, blocks, block), wide = v16_panels(rows) * RT_PANEL;
        for (size_t j = 0; j < n; j += wide) {
            size_t columns = rt_min(wide, n - j);
            rt_sums_tile *tile = RT_ISA(sums_f32)[(columns + RT_PANEL - 1) / RT_PANEL - 1][rows - 1];
            tile(a + i * lda, lda, b + j * k, k, sums, wide);
            for (size_t r = 0; r < rows; r++) {
                for (size_t l = 0; l < columns; l += RT_PANEL) {
                    float *to = c + (i + r) * ldc + j + l;
                    v16 sum = v16_add(v16_load_n(to, columns - l), v16_load(sums + r * wide + l));
                    v16_store_n(to, sum, columns - l);
                }
            }
        }
        i += rows;
    }
}

/* p[keys] = softmax(scale p) in place over the keys in the query's window, 0 for the others and in the last panel's other
 * columns. Keys are those from `from` on. */
static void normalized_softmax(const rt_attention *forward, size_t query, size_t from, size_t keys,
                               float *p) {
    float sum;
    if (forward->window > 0) {
        size_t first, end;
        rt_attention_keys(forward, query, query + 1, &first, &end);
        sum = softmax_between(forward->scale, 0, keys, first - from, end - from, p);
    } else {
        sum = softmax(forward->scale, bias_of(forward, query), keys, p);
    }
    v16 inverse = v16_set(sum);
    for (size_t i = 0; i < keys; i += 16) v16_store(p + i, v16_mul(v16_load(p + i), inverse));
}

/* ds[n]: from dp, in place */
static void back_softmax(float scale, size_t n, const float *p, float *ds) {
    v16 along = v16_set(0.0f);
    for (size_t i = 0; i < n; i += 16) {
        v16 next = v16_fma(v16_load(p + i), v16_load(ds + i), along);
        along = n - i < 16 ? v16_first(n - i, next, along) : next;
    }
    v16 sum = v16_set(v16_sum(along)), factor = v16_set(scale);
    for (size_t i = 0; i < n; i += 16) {
        v16 x = v16_mul(v16_sub(v16_load(ds + i), sum), factor);
        v16_store(ds + i, v16_mul(v16_load(p + i), x));
    }
}

/* to[keys][BLOCK] = x[rows][stride]^T; columns beyond the rows are not used */
static void turn_block(size_t rows, size_t keys, const float *x, size_t stride, float *to) {
    for (size_t r = 0; r < rows; r += 16) {
        for (size_t j = 0; j < keys; j += 16) {
            v16 block[16];
            for (size_t i = 0; i < 16; i++)
                block[i] = r + i < rows ? v16_load(x + (r + i) * stride + j) : v16_set(0.0f);
            v16_transpose(block);
            for (size_t i = 0; i < 16; i++) v16_store(to + (j + i) * BLOCK + r, block[i]);
        }
    }
}

/* y[n] += factor x */
RT_VERB void add_times(size_t n, v16 factor, const float *x, float *y) {
    for (size_t d = 0; d < n; d += 16)
        v16_store_n(y + d, v16_fma(factor, v16_load_n(x + d, n - d), v16_load_n(y + d, n - d)), n - d);
}

/* The tables' part of a query, which stands at `place`. */
static void back_tables(const rt_attention_back *at, size_t query, ptrdiff_t place, const float *ds) {
    const rt_relative_back *t = at->tables;
    const float *q = at->q + query * at->ldq;
    for (size_t j = 0; j < at->keys; j++) {
        size_t row = rt_relative_row(t, (ptrdiff_t)j - place), at_row = row * t->ld;
        v16 factor = v16_set(ds[j]);
        if (t->dbias != NULL) t->dbias[row] += ds[j] / at->scale;
        if (t->key != NULL) add_times(at->dim, factor, t->key + at_row, at->dq + query * at->ldq);
        if (t->dkey != NULL) add_times(at->dim, factor, q, t->dkey + at_row);
        if (t->query != NULL) add_times(at->dim, factor, t->query + at_row, at->dk + j * at->ldk);
        if (t->dquery != NULL) add_times(at->dim, factor, at->k + j * at->ldk, t->dquery + at_row);
    }
}

/* Adds what scores get by distance, in blocks as those of the forward pass. */
static void add_terms(const rt_attention *forward, size_t row, size_t rows, room *r) {
    const rt_relative *relative = forward->relative;
    size_t most = relative->places != NULL ? 1 : V16_ROWS;
    for (size_t i = 0; i < rows; i += most) {
        size_t n = rt_min(most, rows - i);
        float *p = r->p + i * r->stride;
        if (relative->key != NULL) add_key_terms(forward, row + i, n, p, &r->relative);
        if (relative->query != NULL) add_query_terms(forward, row + i, n, p, &r->relative);
    }
}

/* A block of queries from `row` on, with keys from `from` on. */
static void back_block(const rt_attention_back *at, const rt_attention *forward, room *r, size_t row,
                       size_t from) {
    size_t rows = at->queries;
    multiply(rows, at->keys, at->dim, at->q, at->ldq, r->keys_turned, r->p, r->stride);
    if (at->relative != NULL) add_terms(forward, row, rows, r);
    multiply(rows, at->keys, at->dim, at->dy, at->ldy, r->values_turned, r->ds, r->stride);
    for (size_t i = 0; i < rows; i++) {
        normalized_softmax(forward, row + i, from, at->keys, r->p + i * r->stride);
        back_softmax(at->scale, at->keys, r->p + i * r->stride, r->ds + i * r->stride);
    }
    multiply_add(rows, at->dim, at->keys, r->ds, r->stride, r->keys, at->dq, at->ldq);
    pack_rows(rows, at->dim, at->dy, at->ldy, r->dys);
    pack_rows(rows, at->dim, at->q, at->ldq, r->queries);
    turn_block(rows, at->keys, r->p, r->stride, r->turned);
    multiply_add(at->keys, at->dim, rows, r->turned, BLOCK, r->dys, at->dv, at->ldv);
    turn_block(rows, at->keys, r->ds, r->stride, r->turned);
    multiply_add(at->keys, at->dim, rows, r->turned, BLOCK, r->queries, at->dk, at->ldk);
    for (size_t i = 0; at->tables != NULL && i < rows; i++)
        back_tables(at, i, rt_attention_place(at->relative, row + i), r->ds + i * r->stride);
}

/* With a window, each block has keys of its own. */
void RT_ISA(attention_back)(const rt_attention_back *at) {
    const rt_attention forward = rt_attention_forward(at);
    room r = cut(at);
    if (at->keys == 0) return;
    for (size_t row = 0; row < at->queries; row += BLOCK) {
        size_t from;
        rt_attention_back block = rt_attention_back_block(at, row, rt_min(BLOCK, at->queries - row), &from);
        if (row == 0 || at->window > 0) {
            turn_rows(block.keys, at->dim, block.k, at->ldk, r.keys_turned);
            turn_rows(block.keys, at->dim, block.v, at->ldv, r.values_turned);
            pack_rows(block.keys, at->dim, block.k, at->ldk, r.keys);
        }
        back_block(&block, &forward, &r, row, from);
    }
}
