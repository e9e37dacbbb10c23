/* SPDX-License-Identifier: Apache-2.0
 * Fused attention of one head in 8-bit integers. Lanes are queries: K and then V^T are read row by row, each group of
 * elements broadcast to all lanes, so that maxima and sums over the keys stay in their lanes, and only the last queries
 * leave lanes empty. The includer has chosen how products are computed:
 *
 *   GROUP            adjacent elements that one product adds up: those of a 32-bit lane
 *   element          of a row or a panel
 *   group_broadcast  a group of a row in all lanes        group_load   16 groups of a panel
 *   group_dot        sum + a b, a unsigned where elements are bytes
 *   group_store      16 groups: of GROUP v16, rounded     row_store    16 elements of K, rounded; unsigned by an offset
 *   row_offset       what undoes that offset, given the sums over the queries */
#ifndef RT_KERNEL_VEC_ATTENTION_S8_H
#define RT_KERNEL_VEC_ATTENTION_S8_H

#include "kernel/attention.h"
#include "kernel/integers.h"
#include "kernel/rows.h"
#include "kernel/vec/gemm.h"

#include <math.h>

/* Panels of 16 queries per block. A tile of 6 x 2 has 12 sums in flight, enough to hide the latency of a product. */
enum {
    PANELS = V16_PANELS < 4 ? 1 : 2, /* a tier with room for 6 x 4 sums, or 6 x 1 */
    WIDE = PANELS * RT_PANEL,
    SPAN = RT_PANEL * GROUP /* elements of 16 groups */
};
_Static_assert((int)PANELS <= (int)RT_ATTENTION_S8_PANELS, "the scratch has room for a block of queries");
_Static_assert(sizeof(element) <= sizeof(int16_t), "the scratch has room for all elements");

/* The parts of the scratch. */
typedef struct room {
    size_t ldk, ldv;                  /* row strides of K and V^T in elements */
    size_t dim_steps, key_steps;      /* groups in a row of K, of V^T */
    element *keys, *values;           /* K [keys][ldk], V^T [dim][ldv] */
    element *queries, *p;             /* [PANELS][dim_steps][16][GROUP], [PANELS][key_steps][16][GROUP] */
    float *key_scale;                 /* [keys] */
    float *value_scale, *value_mean;  /* [dim] */
    float *scores, *out;              /* [keys][WIDE], [dim][WIDE] */
    n16 offset[PANELS];               /* what sums of q k begin with */
    v16 factor[PANELS], most[PANELS]; /* of q, with log2 e; the largest score */
    v16 q_scale[PANELS];              /* where there is a bias, whose factor is log2 e alone */
    const float *bias;   /* of key 0 for the block's first query; one less for each key. NULL: none */
    v16 inverse[PANELS]; /* 1 / sum of p */
} room;

static room cut(const rt_attention *at) {
    room r = {.ldk = rt_round_up(at->dim, RT_PANEL), .ldv = rt_round_up(at->keys, SPAN)};
    rt_attention_s8_parts part = rt_attention_s8_layout(at->keys, at->dim);
    r.dim_steps = (at->dim + GROUP - 1) / GROUP;
    r.key_steps = (at->keys + GROUP - 1) / GROUP;
    r.keys = (element *)(void *)(at->scratch + part.keys);
    r.values = (element *)(void *)(at->scratch + part.values);
    r.queries = (element *)(void *)(at->scratch + part.queries);
    r.p = (element *)(void *)(at->scratch + part.p);
    r.key_scale = at->scratch + part.key_scale;
    r.value_scale = at->scratch + part.value_scale;
    r.value_mean = at->scratch + part.value_mean;
    r.scores = at->scratch + part.scores;
    r.out = at->scratch + part.out;
    return r;
}

/* rt_levels in 16 lanes. */
RT_VERB v16 levels16(v16 most, v16 *scale) {
    v16 zero = v16_set(0.0f), levels = v16_set(RT_ATTENTION_LEVELS);
    most = v16_if_less(most, v16_set(RT_LEAST_RANGE), zero, most);
    *scale = v16_div(most, levels);
    return v16_if_less(zero, most, v16_div(levels, most), zero);
}

RT_VERB v16 clamped(v16 x) {
    return v16_min(v16_max(x, v16_set(-RT_ATTENTION_LEVELS)), v16_set(RT_ATTENTION_LEVELS));
}

/* ---- Rounding to integers ---- */

/* The 16 rows of K from `key` on. */
static void pack_keys(const rt_attention *at, const room *r, size_t key) {
    size_t n = rt_min(RT_PANEL, at->keys - key);
    const float *k = at->k + key * at->ldk;
    v16 most[RT_PANEL], scale;
    for (size_t i = 0; i < RT_PANEL; i++) {
        most[i] = v16_set(0.0f);
        for (size_t d = 0; i < n && d < at->dim; d += 16) {
            most[i] = v16_max(v16_abs(v16_load_n(k + i * at->ldk + d, at->dim - d)), most[i]);
        }
    }
    v16_transpose(most);
    for (size_t i = 1; i < RT_PANEL; i++) most[0] = v16_max(most[i], most[0]);
    float factor[RT_PANEL];
    v16_store(factor, levels16(most[0], &scale));
    v16_store(r->key_scale + key, scale);
    for (size_t i = 0; i < n; i++) {
        element *row = r->keys + (key + i) * r->ldk;
        for (size_t d = 0; d < at->dim; d += 16) {
            v16 x = v16_load_n(k + i * at->ldk + d, at->dim - d);
            row_store(row + d, clamped(v16_mul(x, v16_set(factor[i]))));
        }
    }
}

/* Columns d…d+15 of V as rows of V^T, less their means. */
static void pack_values(const rt_attention *at, const room *r, size_t d) {
    const float *v = at->v + d;
    size_t n = at->dim - d;
    v16 low = v16_set(INFINITY), high = v16_set(-INFINITY), sum = v16_set(0.0f), scale;
    for (size_t key = 0; key < at->keys; key++) {
        v16 x = v16_load_n(v + key * at->ldv, n);
        low = v16_min(x, low);
        high = v16_max(x, high);
        sum = v16_add(sum, x);
    }
    v16 mean = v16_mul(sum, v16_set(at->keys > 0 ? 1.0f / (float)at->keys : 0.0f));
    v16 factor = levels16(v16_max(v16_sub(high, mean), v16_sub(mean, low)), &scale);
    v16_store(r->value_scale + d, scale);
    v16_store(r->value_mean + d, mean);
    for (size_t key = 0; key < at->keys; key += SPAN) {
        _Alignas(64) element unit[RT_PANEL * SPAN];
        v16 block[RT_PANEL];
        for (size_t i = 0; i < RT_PANEL; i++) {
            v16 x[GROUP];
            for (size_t g = 0; g < GROUP; g++) {
                size_t row = key + i * GROUP + g;
                x[g] = v16_set(0.0f);
                if (row < at->keys) {
                    x[g] = clamped(v16_mul(v16_sub(v16_load_n(v + row * at->ldv, n), mean), factor));
                }
            }
            group_store(unit + i * SPAN, x);
            block[i] = v16_load((const float *)(const void *)(unit + i * SPAN));
        }
        v16_transpose(block); /* groups are moved like floats */
        for (size_t i = 0; i < RT_PANEL; i++) {
            v16_store((float *)(void *)(r->values + (d + i) * r->ldv + key), block[i]);
        }
    }
}

/* The 16 rows of q from `row` on, times the scale of the scores, as panel p. */
static void pack_queries(const rt_attention *at, room *r, size_t row, size_t p) {
    size_t n = rt_min(RT_PANEL, at->queries - row);
    v16 most = v16_set(0.0f), sums = v16_set(0.0f), scale, by = v16_set(at->scale);
    float *turned = r->out; /* [dim][16], until the output takes the place */
    for (size_t d = 0; d < at->dim; d += 16) {
        v16 block[RT_PANEL];
        for (size_t i = 0; i < RT_PANEL; i++) {
            block[i] = v16_set(0.0f);
            if (i < n) block[i] = v16_mul(v16_load_n(at->q + (row + i) * at->ldq + d, at->dim - d), by);
        }
        v16_transpose(block);
        for (size_t i = 0; i < RT_PANEL; i++) {
            v16_store(turned + (d + i) * RT_PANEL, block[i]);
            most = v16_max(v16_abs(block[i]), most);
        }
    }
    v16 factor = levels16(most, &scale);
    element *panel = r->queries + p * r->dim_steps * SPAN;
    for (size_t step = 0; step < r->dim_steps; step++) {
        v16 x[GROUP];
        for (size_t g = 0; g < GROUP; g++) {
            v16 y = v16_load(turned + (step * GROUP + g) * RT_PANEL);
            x[g] = v16_round(clamped(v16_mul(y, factor)));
            sums = v16_add(sums, x[g]);
        }
        group_store(panel + step * SPAN, x);
    }
    r->offset[p] = row_offset(sums);
    r->q_scale[p] = scale;
    r->factor[p] = r->bias != NULL ? v16_set(RT_LOG2E) : v16_mul(scale, v16_set(RT_LOG2E));
}

/* ---- Products ---- */

typedef void tile_fn(room *r, size_t row);

/* Scores of `rows` keys from `row` on with all queries: sums times the key's scale, and with a bias times that of q. */
RT_VERB void score(size_t rows, size_t panels, room *r, size_t row) {
    n16 sum[V16_ROWS][PANELS];
    v16 most[PANELS];
    const element *k = r->keys + row * r->ldk;
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (size_t p = 0; p < panels; p++) sum[i][p] = r->offset[p];
    }
#pragma GCC unroll 1
    for (size_t step = 0; step < r->dim_steps; step++) {
        n16 q[PANELS];
#pragma GCC unroll 2
        for (size_t p = 0; p < panels; p++) q[p] = group_load(r->queries + (p * r->dim_steps + step) * SPAN);
#pragma GCC unroll 6
        for (size_t i = 0; i < rows; i++) {
            n16 x = group_broadcast(k + i * r->ldk + step * GROUP);
#pragma GCC unroll 2
            for (size_t p = 0; p < panels; p++) sum[i][p] = group_dot(sum[i][p], x, q[p]);
        }
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < panels; p++) most[p] = r->most[p];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (size_t p = 0; p < panels; p++) {
            v16 x = v16_mul(n16_float(sum[i][p]), v16_set(r->key_scale[row + i]));
            if (r->bias != NULL) {
                const float *bias = r->bias - (row + i) + p * RT_PANEL;
                x = v16_fma(x, r->q_scale[p], v16_load(bias));
            }
            most[p] = v16_max(x, most[p]);
            v16_store(r->scores + (row + i) * WIDE + p * RT_PANEL, x);
        }
    }
#pragma GCC unroll 2
    for (size_t p = 0; p < panels; p++) r->most[p] = most[p];
}

/* Rows row… of the output: sums of p v, times 1/sum(p), scaled, and the mean added. */
RT_VERB void blend(size_t rows, size_t panels, room *r, size_t row) {
    n16 sum[V16_ROWS][PANELS];
    const element *v = r->values + row * r->ldv;
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (size_t p = 0; p < panels; p++) sum[i][p] = n16_zero();
    }
#pragma GCC unroll 1
    for (size_t step = 0; step < r->key_steps; step++) {
        n16 chance[PANELS];
#pragma GCC unroll 2
        for (size_t p = 0; p < panels; p++) chance[p] = group_load(r->p + (p * r->key_steps + step) * SPAN);
#pragma GCC unroll 6
        for (size_t i = 0; i < rows; i++) {
            n16 x = group_broadcast(v + i * r->ldv + step * GROUP);
#pragma GCC unroll 2
            for (size_t p = 0; p < panels; p++) sum[i][p] = group_dot(sum[i][p], chance[p], x);
        }
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; i++) {
        v16 scale = v16_set(r->value_scale[row + i]), mean = v16_set(r->value_mean[row + i]);
#pragma GCC unroll 2
        for (size_t p = 0; p < panels; p++) {
            v16 x = v16_fma(v16_mul(n16_float(sum[i][p]), r->inverse[p]), scale, mean);
            v16_store(r->out + (row + i) * WIDE + p * RT_PANEL, x);
        }
    }
}

/* X(rows, name, panels): `one` for the last 16 queries of an odd number of panels. */
#define TILE_ROWS(X, name, panels)                                                                           \
    X(1, name, panels)                                                                                       \
    X(2, name, panels) X(3, name, panels) X(4, name, panels) X(5, name, panels) X(6, name, panels)
#define TILES(X) TILE_ROWS(X, one, 1) TILE_ROWS(X, all, PANELS)
enum { one, all };
_Static_assert((int)V16_ROWS == 6, "TILES lists all rows");

#define TILE(rows, name, panels)                                                                             \
    static void score_##rows##_##name(room *r, size_t row) {                                                 \
        score(rows, panels, r, row);                                                                         \
    }                                                                                                        \
    static void blend_##rows##_##name(room *r, size_t row) {                                                 \
        blend(rows, panels, r, row);                                                                         \
    }
TILES(TILE)
#undef TILE
#define SCORE(rows, name, panels) [name][rows - 1] = score_##rows##_##name,
#define BLEND(rows, name, panels) [name][rows - 1] = blend_##rows##_##name,
static tile_fn *const score_tiles[2][V16_ROWS] = {TILES(SCORE)};
static tile_fn *const blend_tiles[2][V16_ROWS] = {TILES(BLEND)};
#undef SCORE
#undef BLEND

/* All of n rows, in tiles of nearly the same height. */
static void run_tiles(tile_fn *const tiles[V16_ROWS], room *r, size_t n) {
    size_t blocks = block_count(n);
    for (size_t block = 0, row = 0; block < blocks; block++) {
        size_t rows = block_rows(n, blocks, block);
        tiles[rows - 1](r, row);
        row += rows;
    }
}

/* ---- Softmax ---- */

/* The lanes of x whose window has this key, the others from `other`; lane 0 is query `query`. */
RT_VERB v16 inside(size_t window, size_t query, size_t key, v16 x, v16 other) {
    size_t before = key > query + window ? key - window - query : 0,
           end = key + window + 1 - rt_min(query, key + window + 1);
    return v16_first(rt_min(before, RT_PANEL), other, v16_first(rt_min(end, RT_PANEL), x, other));
}

/* 2^y, for y at most RT_CHANCE_LOG2; a NaN counts as the lowest. */
RT_VERB v16 chance16(v16 y) {
    y = v16_max(y, v16_set(RT_CHANCE_LOW));
    v16 n = v16_round(y);
    return v16_scale(poly(rt_chance_poly, 4, v16_sub(y, n)), n);
}

/* p = 2^((s - most) factor + RT_CHANCE_LOG2), rounded when it is stored; inverse = 1 / sum of the unrounded p. With a
 * window, the queries are those from `row` on, and the keys those from `first` on. */
RT_VERB void softmax(size_t panels, size_t window, size_t row, size_t first, size_t keys, room *r) {
    v16 sum[PANELS], zero = v16_set(0.0f);
    for (size_t p = 0; p < panels; p++) sum[p] = zero;
    for (size_t step = 0; step < r->key_steps; step++) {
        for (size_t p = 0; p < panels; p++) {
            v16 x[GROUP];
#pragma GCC unroll 4
            for (size_t g = 0; g < GROUP; g++) {
                size_t key = step * GROUP + g;
                x[g] = zero;
                if (key >= keys) continue;
                v16 s = v16_load(r->scores + key * WIDE + p * RT_PANEL);
                x[g] = chance16(v16_fma(v16_sub(s, r->most[p]), r->factor[p], v16_set(RT_CHANCE_LOG2)));
                if (window > 0) x[g] = inside(window, row + p * RT_PANEL, first + key, x[g], zero);
                sum[p] = v16_add(sum[p], x[g]);
            }
            group_store(r->p + (p * r->key_steps + step) * SPAN, x);
        }
    }
    for (size_t p = 0; p < panels; p++) {
        r->inverse[p] = v16_if_less(zero, sum[p], v16_div(v16_set(1.0f), sum[p]), zero);
    }
}

/* ---- Blocks of queries ---- */

/* Output of the 16 queries of panel p, from `row` on. */
static void put(const rt_attention *at, const room *r, size_t row, size_t p) {
    size_t queries = rt_min(RT_PANEL, at->queries - row);
    for (size_t d = 0; d < at->dim; d += 16) {
        v16 block[RT_PANEL];
        size_t n = at->dim - d;
        for (size_t i = 0; i < RT_PANEL; i++) {
            block[i] = i < n ? v16_load(r->out + (d + i) * WIDE + p * RT_PANEL) : v16_set(0.0f);
        }
        v16_transpose(block);
        for (size_t i = 0; i < queries; i++) {
            if (at->out != NULL) v16_store_n(at->out + (row + i) * at->ldo + d, block[i], n);
            if (at->out16 != NULL) v16_store_bf16_n(at->out16 + (row + i) * at->ldo16 + d, block[i], n);
        }
    }
}

/* The largest scores of the keys in the queries' windows. */
static void find_most(const rt_attention *at, room *r, size_t row, size_t first, size_t keys, size_t panels) {
    v16 low = v16_set(-INFINITY);
    for (size_t p = 0; p < panels; p++) {
        v16 most = low;
        for (size_t i = 0; i < keys; i++) {
            v16 x = v16_load(r->scores + i * WIDE + p * RT_PANEL);
            most = v16_max(inside(at->window, row + p * RT_PANEL, first + i, x, low), most);
        }
        r->most[p] = most;
    }
}

static void attend_keys(const rt_attention *at, room *r, size_t row, size_t panels, size_t first,
                        size_t keys) {
    run_tiles(score_tiles[panels > 1], r, keys);
    if (at->window > 0) find_most(at, r, row, first, keys, panels);
    if (at->window > 0)
        softmax(panels, at->window, row, first, keys, r);
    else if (panels > 1)
        softmax(PANELS, 0, 0, 0, keys, r);
    else
        softmax(1, 0, 0, 0, keys, r);
    run_tiles(blend_tiles[panels > 1], r, at->dim);
}

static void attend_block(const rt_attention *at, room *whole, size_t row, size_t panels) {
    size_t first, end;
    room *r = whole, some;
    rt_attention_keys(at, row, row + panels * RT_PANEL, &first, &end);
    if (at->window > 0) {
        first -= first % RT_PANEL;
        some = *whole;
        some.keys += first * some.ldk;
        some.key_scale += first;
        some.values += first;
        some.key_steps = (end - first + GROUP - 1) / GROUP;
        r = &some;
    }
    bool biased = at->relative != NULL && at->relative->bias_back != NULL;
    r->bias = biased ? at->relative->bias_back + row : NULL;
    for (size_t p = 0; p < panels; p++) {
        pack_queries(at, r, row + p * RT_PANEL, p);
        r->most[p] = v16_set(-INFINITY);
    }
    attend_keys(at, r, row, panels, first, end - first);
    for (size_t p = 0; p < panels; p++) put(at, r, row + p * RT_PANEL, p);
}

static void attend_s8(const rt_attention *at) {
    room r = cut(at);
    for (size_t key = 0; key < at->keys; key += RT_PANEL) pack_keys(at, &r, key);
    for (size_t d = 0; d < at->dim; d += RT_PANEL) pack_values(at, &r, d);
    for (size_t row = 0; row < at->queries; row += WIDE) {
        attend_block(at, &r, row, at->queries - row > RT_PANEL ? PANELS : 1);
    }
}

#endif
