/* SPDX-License-Identifier: Apache-2.0
 * Fused attention of one head: both products use the register tiles of gemm_f32, on a block of queries whose
 * scores stay in L1. */
#include "kernel/attention.h"
#include "kernel/rows.h"
#include "kernel/vec/gemm.h"
#include "kernel/vec/relative.h"
#include "kernel/vec/softmax.h"

#include <math.h>

_Static_assert((int)V16_ROWS <= (int)RT_ATTENTION_ROWS, "the scratch has room for a block of queries");

/* Transposes the 16 keys from `key` on into one panel [dim][16]; keys beyond the last are 0. */
static void pack_keys(const rt_attention *at, size_t key, float *panel) {
    for (size_t d = 0; d < at->dim; d += 16) {
        v16 block[16];
        size_t n = rt_min(16, at->dim - d);
        for (size_t i = 0; i < 16; i++) {
            bool inside = key + i < at->keys;
            block[i] = inside ? v16_load_n(at->k + (key + i) * at->ldk + d, n) : v16_set(0.0f);
        }
        v16_transpose(block);
        for (size_t i = 0; i < n; i++) v16_store(panel + (d + i) * RT_PANEL, block[i]);
    }
}

static void pack_values(const rt_attention *at, float *values) {
    for (size_t d = 0; d < at->dim; d += RT_PANEL) {
        for (size_t key = 0; key < at->keys; key++) {
            v16_store(values, v16_load_n(at->v + key * at->ldv + d, at->dim - d));
            values += RT_PANEL;
        }
    }
}

/* scores[rows][stride] = q k^T of keys from…to-1, not yet scaled; from: a multiple of 16 */
static void score(const rt_attention *at, size_t row, size_t rows, size_t from, size_t to, const float *keys,
                  float *scores) {
    size_t wide = v16_panels(rows), all = (to + RT_PANEL - 1) / RT_PANEL;
    for (size_t p = from / RT_PANEL; p < all; p += wide) {
        rt_sums_tile *tile = RT_ISA(sums_f32)[rt_min(wide, all - p) - 1][rows - 1];
        tile(at->q + row * at->ldq, at->ldq, keys + p * at->dim * RT_PANEL, at->dim, scores + p * RT_PANEL,
             rt_attention_stride(at->keys));
    }
}

/* out[rows] = inverse[row] * (p v), a few panels of v at a time */
static void blend(const rt_attention *at, size_t row, size_t rows, const float *scores, const float *values,
                  const float *inverse) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
    size_t wide = v16_panels(rows) * RT_PANEL;
    for (size_t d = 0; d < at->dim; d += wide) {
        size_t columns = rt_min(wide, at->dim - d), panels = (columns + RT_PANEL - 1) / RT_PANEL;
        rt_sums_tile *tile = RT_ISA(sums_f32)[panels - 1][rows - 1];
        tile(scores, rt_attention_stride(at->keys), values + d * at->keys, at->keys, sums, wide);
        for (size_t r = 0; r < rows; r++) {
            for (size_t c = 0; c < columns; c += RT_PANEL) {
                v16 x = v16_mul(v16_load(sums + r * wide + c), v16_set(inverse[r]));
                size_t n = columns - c;
                if (at->out != NULL) v16_store_n(at->out + (row + r) * at->ldo + d + c, x, n);
                if (at->out16 != NULL) v16_store_bf16_n(at->out16 + (row + r) * at->ldo16 + d + c, x, n);
            }
        }
    }
}

/* Blocks of queries: those of arbitrary places are handled one by one. */
RT_VERB size_t blocks_of(const rt_attention *at) {
    bool alone = at->relative != NULL && at->relative->places != NULL;
    return alone ? at->queries : block_count(at->queries);
}

/* As blend, over keys from…to-1; panels of values are further apart then than one call of a tile assumes. */
static void blend_between(const rt_attention *at, size_t row, size_t rows, size_t from, size_t to,
                          const float *scores, const float *values, const float *inverse) {
    _Alignas(64) float sums[V16_ROWS * RT_PANEL];
    for (size_t d = 0; d < at->dim; d += RT_PANEL) {
        size_t n = rt_min(RT_PANEL, at->dim - d);
        RT_ISA(sums_f32)
        [0][rows - 1](scores + from, rt_attention_stride(at->keys), values + d * at->keys + from * RT_PANEL,
                      to - from, sums, RT_PANEL);
        for (size_t r = 0; r < rows; r++) {
            v16 x = v16_mul(v16_load(sums + r * RT_PANEL), v16_set(inverse[r]));
            if (at->out != NULL) v16_store_n(at->out + (row + r) * at->ldo + d, x, n);
            if (at->out16 != NULL) v16_store_bf16_n(at->out16 + (row + r) * at->ldo16 + d, x, n);
        }
    }
}

/* A block of queries with a window. */
static void attend_between(const rt_attention *at, size_t row, size_t rows, const float *keys,
                           const float *values, float *scores) {
    size_t from, to, stride = rt_attention_stride(at->keys);
    float inverse[V16_ROWS];
    rt_attention_keys(at, row, row + rows, &from, &to);
    from -= from % RT_PANEL;
    score(at, row, rows, from, to, keys, scores);
    for (size_t r = 0; r < rows; r++) {
        size_t first, end;
        rt_attention_keys(at, row + r, row + r + 1, &first, &end);
        inverse[r] = softmax_between(at->scale, from, to, first, end, scores + r * stride);
    }
    blend_between(at, row, rows, from, to, scores, values, inverse);
}

void RT_ISA(attention)(const rt_attention *at) {
    float *keys = at->scratch, *values = keys + rt_attention_keys_size(at->keys, at->dim);
    float *scores = values + rt_attention_values_size(at->keys, at->dim), inverse[V16_ROWS];
    size_t stride = rt_attention_stride(at->keys), blocks = blocks_of(at);
    relative_room room = relative_cut(at->keys, scores + RT_ATTENTION_ROWS * stride);
    for (size_t key = 0; key < at->keys; key += RT_PANEL) pack_keys(at, key, keys + key * at->dim);
    pack_values(at, values);
    for (size_t block = 0, row = 0; block < blocks; block++) {
        size_t rows = block_rows(at->queries, blocks, block);
        if (at->window > 0) {
            attend_between(at, row, rows, keys, values, scores);
            row += rows;
            continue;
        }
        score(at, row, rows, 0, at->keys, keys, scores);
        if (at->relative != NULL && at->relative->key != NULL) add_key_terms(at, row, rows, scores, &room);
        if (at->relative != NULL && at->relative->query != NULL)
            add_query_terms(at, row, rows, scores, &room);
        for (size_t r = 0; r < rows; r++)
            inverse[r] = softmax(at->scale, bias_of(at, row + r), at->keys, scores + r * stride);
        blend(at, row, rows, scores, values, inverse);
        row += rows;
    }
}
