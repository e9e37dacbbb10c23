/* SPDX-License-Identifier: Apache-2.0
 * Fused attention of one head in 16-bit integers, on a block of queries whose scores stay in L1. */
#include "kernel/attention.h"
#include "kernel/integers.h"
#include "kernel/rows.h"
#include "kernel/vec/gemm.h"

#include <math.h>

/* One product: pairs of a row of `a` are broadcast, pairs of 16 columns stream. */
RT_VERB void tile(size_t rows, size_t panels, const int16_t *a, size_t lda, const int16_t *b, size_t pairs,
                  float *out, size_t ldo) {
    n16 sum[V16_ROWS][V16_PANELS];
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = n16_zero();
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < pairs; i++) {
        n16 column[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) column[p] = n16_load(b + (p * pairs + i) * RT_PANEL * 2);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            n16 x = n16_pair(a + r * lda + 2 * i);
#pragma GCC unroll 4
            for (size_t p = 0; p < panels; p++) sum[r][p] = n16_dot2(sum[r][p], x, column[p]);
        }
    }
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) n16_store(out + r * ldo + p * RT_PANEL, sum[r][p]);
    }
}

#define TILE(rows, panels)                                                                                   \
    static void tile_##rows##x##panels(const void *a, size_t lda, const void *b, size_t pairs, float *out,   \
                                       size_t ldo) {                                                         \
        tile(rows, panels, a, lda, b, pairs, out, ldo);                                                      \
    }
V16_TILES(TILE)
#undef TILE

#define ENTRY(rows, panels) [panels - 1][rows - 1] = tile_##rows##x##panels,
static const rt_tile_set tiles = {V16_TILES(ENTRY)};
#undef ENTRY

/* The parts of the scratch. */
typedef struct room {
    size_t keys_pairs, dim_pairs; /* half of keys and dim, rounded up */
    size_t ldq, ldp;              /* row strides in int16 */
    int16_t *keys, *values;       /* K [keys/16][dim_pairs][16][2], V [dim/16][keys_pairs][16][2] */
    int16_t *rows, *p;            /* 16 rows of K or the rows of Q [·][ldq], probabilities [ROWS][ldp] */
    float *key_scale, *value_scale, *scores; /* [keys], [dim], [ROWS][ldp] */
} room;

static room cut(const rt_attention *at) {
    room r = {.keys_pairs = (at->keys + 1) / 2, .dim_pairs = (at->dim + 1) / 2};
    r.ldq = rt_attention_s16_width(at->dim);
    r.ldp = rt_attention_stride(at->keys);
    float *next = at->scratch;
    r.keys = (int16_t *)(void *)next;
    next += rt_attention_s16_keys(at->keys, at->dim);
    r.values = (int16_t *)(void *)next;
    next += rt_attention_s16_values(at->keys, at->dim);
    r.rows = (int16_t *)(void *)next;
    next += rt_attention_s16_rows(at->dim);
    r.p = (int16_t *)(void *)next;
    next += rt_attention_s16_probabilities(at->keys);
    r.key_scale = next;
    r.value_scale = r.key_scale + rt_round_up(at->keys, RT_PANEL);
    r.scores = r.value_scale + rt_round_up(at->dim, RT_PANEL);
    return r;
}

RT_VERB v16 rounded(v16 x, float factor, float levels) {
    return v16_min(v16_max(v16_mul(x, v16_set(factor)), v16_set(-levels)), v16_set(levels));
}

/* Rounds a row of q or k to integers, padded with zeros to `width`; returns its scale. */
static float round_row(const float *x, size_t dim, size_t width, int16_t *out) {
    v16 most = v16_set(0.0f);
    float scale;
    for (size_t d = 0; d < dim; d += 16) most = v16_max(v16_abs(v16_load_n(x + d, dim - d)), most);
    float factor = rt_levels(max16(most), RT_SCORE_LEVELS, &scale);
    for (size_t d = 0; d < width; d += 16) {
        v16 y = d < dim ? v16_load_n(x + d, dim - d) : v16_set(0.0f);
        v16_store_s16(out + d, rounded(y, factor, RT_SCORE_LEVELS));
    }
    return scale;
}

/* Packs the 16 keys from `key` on into a panel; keys beyond the last are 0. Pairs are moved like floats. */
static void pack_keys(const rt_attention *at, const room *r, size_t key) {
    int16_t *panel = r->keys + key * r->dim_pairs * 2;
    size_t count = rt_min(16, at->keys - key);
    for (size_t i = 0; i < count; i++) {
        r->key_scale[key + i] = round_row(at->k + (key + i) * at->ldk, at->dim, r->ldq, r->rows + i * r->ldq);
    }
    memset(r->rows + count * r->ldq, 0, (16 - count) * r->ldq * sizeof *r->rows);
    for (size_t i = count; i < 16; i++) r->key_scale[key + i] = 0.0f;
    for (size_t pair = 0; pair < r->dim_pairs; pair += 16) {
        v16 block[16];
        size_t n = rt_min(16, r->dim_pairs - pair);
        for (size_t i = 0; i < 16; i++) {
            block[i] = v16_load((const float *)(const void *)(r->rows + i * r->ldq + 2 * pair));
        }
        v16_transpose(block);
        for (size_t i = 0; i < n; i++) {
            v16_store((float *)(void *)(panel + (pair + i) * RT_PANEL * 2), block[i]);
        }
    }
}

/* 16 columns of v from d on. */
static void pack_values(const rt_attention *at, const room *r, size_t d, int levels) {
    const float *v = at->v + d;
    int16_t *panel = r->values + d * r->keys_pairs * 2;
    size_t n = at->dim - d;
    v16 most = v16_set(0.0f);
    float all[16], factors[16];
    for (size_t key = 0; key < at->keys; key++)
        most = v16_max(v16_abs(v16_load_n(v + key * at->ldv, n)), most);
    v16_store(all, most);
    for (size_t i = 0; i < 16; i++) factors[i] = rt_levels(all[i], levels, &r->value_scale[d + i]);
    v16 factor = v16_load(factors), high = v16_set((float)levels), low = v16_set(-(float)levels);
    for (size_t key = 0; key < at->keys; key += 2, panel += RT_PANEL * 2) {
        v16 odd = v16_set(0.0f), even = v16_mul(v16_load_n(v + key * at->ldv, n), factor);
        if (key + 1 < at->keys) odd = v16_mul(v16_load_n(v + (key + 1) * at->ldv, n), factor);
        v16_store_pairs(panel, v16_min(v16_max(even, low), high), v16_min(v16_max(odd, low), high));
    }
}

/* s[n] = ((float)sum * factor) * k's scale in place, then p[n] = exp(s - max) as integers; returns
 * 1 / sum. */
static float softmax(float factor, size_t n, const float *key_scale, float *s, int16_t *p) {
    v16 most = v16_set(-INFINITY), sum = v16_set(0.0f), levels = v16_set(RT_CHANCE_LEVELS);
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < n; i += 16) {
        v16 x = v16_mul(v16_load_s32(s + i, NULL, 16), v16_set(factor));
        x = v16_mul(x, v16_load(key_scale + i));
        v16_store(s + i, x);
        if (i == whole) x = v16_first(n - i, x, v16_set(-INFINITY));
        most = v16_max(x, most);
    }
    float max = max16(most);
    for (size_t i = 0; i < n; i += 16) {
        v16 x = v16_mul(exp16(v16_sub(v16_load(s + i), v16_set(max))), levels);
        x = v16_round(v16_min(v16_max(x, v16_set(0.0f)), levels));
        if (i == whole) x = v16_first(n - i, x, v16_set(0.0f));
        v16_store_s16(p + i, x);
        sum = v16_add(sum, x);
    }
    return n > 0 ? 1.0f / v16_sum(sum) : 0.0f;
}

/* out[rows] = (p v) * inverse[row] * v's scale, a few panels of v at a time */
static void blend(const rt_attention *at, const room *r, size_t row, size_t rows, const float *inverse) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
    size_t wide = v16_panels(rows) * RT_PANEL;
    for (size_t d = 0; d < at->dim; d += wide) {
        size_t columns = rt_min(wide, at->dim - d), panels = (columns + RT_PANEL - 1) / RT_PANEL;
        const int16_t *values = r->values + d * r->keys_pairs * 2;
        tiles[panels - 1][rows - 1](r->p, r->ldp, values, r->keys_pairs, sums, wide);
        for (size_t i = 0; i < rows; i++) {
            for (size_t c = 0; c < columns; c += RT_PANEL) {
                v16 x = v16_mul(v16_load_s32(sums + i * wide + c, NULL, 16), v16_set(inverse[i]));
                x = v16_mul(x, v16_load(r->value_scale + d + c));
                v16_store_n(at->out + (row + i) * at->ldo + d + c, x, columns - c);
            }
        }
    }
}

/* scores[rows][ldp] = sums of q k, and their factors */
static void score(const rt_attention *at, const room *r, size_t row, size_t rows, float *factor) {
    size_t wide = v16_panels(rows), all = (at->keys + RT_PANEL - 1) / RT_PANEL;
    for (size_t i = 0; i < rows; i++) {
        factor[i] = round_row(at->q + (row + i) * at->ldq, at->dim, r->ldq, r->rows + i * r->ldq) * at->scale;
    }
    for (size_t p = 0; p < all; p += wide) {
        rt_tile *run = tiles[rt_min(wide, all - p) - 1][rows - 1];
        run(r->rows, r->ldq, r->keys + p * r->dim_pairs * RT_PANEL * 2, r->dim_pairs,
            r->scores + p * RT_PANEL, r->ldp);
    }
}

void RT_ISA(attention_s16)(const rt_attention *at) {
    room r = cut(at);
    size_t blocks = block_count(at->queries);
    int levels = rt_value_levels(at->keys);
    for (size_t key = 0; key < at->keys; key += RT_PANEL) pack_keys(at, &r, key);
    for (size_t d = 0; d < at->dim; d += RT_PANEL) pack_values(at, &r, d, levels);
    for (size_t block = 0, row = 0; block < blocks; block++) {
        size_t rows = block_rows(at->queries, blocks, block);
        float factor[V16_ROWS], inverse[V16_ROWS];
        score(at, &r, row, rows, factor);
        for (size_t i = 0; i < rows; i++) {
            inverse[i] = softmax(factor[i], at->keys, r.key_scale, r.scores + i * r.ldp, r.p + i * r.ldp);
        }
        blend(at, &r, row, rows, inverse);
        row += rows;
    }
}
