/* SPDX-License-Identifier: Apache-2.0
 * Attention, normalisation, pooling, conversion. */
#include "kernel_check.h"

#include <stdio.h>
#include <string.h>

static bool fail(char *why, size_t size, const char *what, size_t a, size_t b, size_t c, size_t where) {
    snprintf(why, size, "%s %zu x %zu x %zu: float %zu of the output differs from ref", what, a, b, c, where);
    return false;
}

static guarded filled(size_t floats, int kind) {
    guarded g = guarded_new(floats * sizeof(float));
    fill_f32(g.data, floats, kind);
    return g;
}

/* ---- attention ---- */

static bool attention_one(const kernel_row *row, size_t queries, size_t keys, size_t dim, int kind, char *why,
                          size_t size) {
    size_t ld = dim + random_below(5), scratch_size = rt_attention_scratch(keys, dim), where = 0;
    guarded q = filled(queries * ld, kind), k = filled(keys * ld, kind), v = filled(keys * ld, kind), out[2],
            out16[2];
    guarded scratch = guarded_new(scratch_size * sizeof(float));
    int outputs = 1 + (int)random_below(3);
    for (int side = 0; side < 2; side++) {
        out[side] = guarded_new(queries * ld * 4);
        out16[side] = guarded_new(queries * ld * 2);
        rt_attention at = {.queries = queries,
                           .keys = keys,
                           .dim = dim,
                           .q = q.data,
                           .k = k.data,
                           .v = v.data,
                           .ldq = ld,
                           .ldk = ld,
                           .ldv = ld,
                           .scale = dim == 1 ? 40.0f : 1.5f,
                           .ldo = ld,
                           .ldo16 = ld};
        at.scratch = scratch.data;
        if (outputs & 1) at.out = out[side].data;
        if (outputs & 2) at.out16 = out16[side].data;
        ((rt_attention_fn)(side == 0 ? row->ref : row->fn))(&at);
    }
    bool good = same_f32(&out[0], &out[1], &where) && same_bf16(&out16[0], &out16[1], &where);
    guarded *all[] = {&q, &k, &v, &scratch, &out[0], &out[1], &out16[0], &out16[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "queries x keys x dim", queries, keys, dim, where);
}

bool check_attention(const kernel_row *row, char *why, size_t size) {
    static const size_t dims[] = {1, 4, 8, 12, 16, 32, 33, 64, 80};
    bool good = true;
    for (size_t keys = 1; good && keys <= 50; keys++) {
        good = attention_one(row, 1 + random_below(14), keys, dims[keys % 9], FILL_NORMAL, why, size);
    }
    for (size_t queries = 1; good && queries <= 33; queries++) {
        good = attention_one(row, queries, 1 + random_below(70), dims[queries % 9], FILL_NORMAL, why, size);
    }
    for (size_t i = 0; good && i < 60; i++) {
        good = attention_one(row, 1 + random_below(8), 1 + random_below(40), dims[i % 9],
                             (int)(i % FILL_KINDS), why, size);
    }
    return good && attention_one(row, 1, 512, 64, FILL_NORMAL, why, size) &&
           attention_one(row, 13, 384, 64, FILL_NORMAL, why, size) &&
           attention_one(row, 16, 128, 32, FILL_NORMAL, why, size) &&
           attention_one(row, 2, 700, 1, FILL_NORMAL, why, size) &&
           attention_one(row, 3, 0, 16, FILL_NORMAL, why, size);
}

/* ---- layer_norm, embed ---- */

static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 48, 100, 127, 384, 768};
enum { WIDTHS = sizeof widths / sizeof *widths };

static bool norm_one(const kernel_row *row, size_t rows, size_t n, int kind, char *why, size_t size) {
    size_t ld = n + random_below(3), where = 0;
    guarded x = filled(rows * ld, kind), gamma = filled(n, kind), beta = filled(n, kind), y[2], y16[2];
    int outputs = 1 + (int)random_below(3);
    bool in_place = random_below(4) == 0;
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(rows * ld * 4);
        y16[side] = guarded_new(rows * ld * 2);
        rt_norm_args args = {.rows = rows,
                             .n = n,
                             .x = x.data,
                             .ldx = ld,
                             .gamma = gamma.data,
                             .beta = beta.data,
                             .epsilon = 1e-12f,
                             .ldy = ld,
                             .ldy16 = ld};
        if (outputs & 1) args.y = y[side].data;
        if (outputs & 2) args.y16 = y16[side].data;
        if (in_place) {
            memcpy(y[side].data, x.data, x.bytes);
            args.x = args.y = y[side].data;
        }
        ((rt_norm_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = same_f32(&y[0], &y[1], &where) && same_bf16(&y16[0], &y16[1], &where);
    guarded *all[] = {&x, &gamma, &beta, &y[0], &y[1], &y16[0], &y16[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "rows x width", rows, n, 1, where);
}

bool check_layer_norm(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 120; i++) {
        good =
            norm_one(row, 1 + random_below(9), widths[i % WIDTHS], (int)(i / WIDTHS % FILL_KINDS), why, size);
    }
    return good && norm_one(row, 0, 16, FILL_NORMAL, why, size);
}

static bool embed_one(const kernel_row *row, size_t rows, size_t n, bool types, char *why, size_t size) {
    enum { WORDS = 9 };
    size_t where = 0;
    guarded word = filled(WORDS * n, FILL_NORMAL), position = filled(WORDS * n, FILL_NORMAL), y[2], y16[2];
    guarded type = filled(2 * n, FILL_NORMAL), gamma = filled(n, FILL_NORMAL), beta = filled(n, FILL_NORMAL);
    guarded index = guarded_new(rows * 3 * sizeof(int32_t));
    int32_t *ids = index.data;
    for (size_t i = 0; i < 3 * rows; i++) ids[i] = (int32_t)random_below(i < 2 * rows ? WORDS : 2);
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(rows * n * 4);
        y16[side] = guarded_new(rows * n * 2);
        rt_embed_args args = {.ids = ids,
                              .positions = ids + rows,
                              .word = word.data,
                              .position = position.data,
                              .norm = {.rows = rows,
                                       .n = n,
                                       .gamma = gamma.data,
                                       .beta = beta.data,
                                       .epsilon = 1e-5f,
                                       .y = y[side].data,
                                       .ldy = n,
                                       .y16 = y16[side].data,
                                       .ldy16 = n}};
        if (types) {
            args.types = ids + 2 * rows;
            args.type = type.data;
        }
        ((rt_embed_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = same_f32(&y[0], &y[1], &where) && same_bf16(&y16[0], &y16[1], &where);
    guarded *all[] = {&word, &position, &type, &gamma, &beta, &index, &y[0], &y[1], &y16[0], &y16[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "rows x width", rows, n, types, where);
}

bool check_embed(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 3 * WIDTHS; i++) {
        good = embed_one(row, random_below(9), widths[i % WIDTHS], i & 1, why, size);
    }
    return good;
}

/* ---- pooling, normalize, narrow ---- */

static bool pool_one(const kernel_row *row, size_t rows, size_t n, int kind, char *why, size_t size) {
    size_t ld = n + random_below(3), where = 0;
    guarded x = filled(rows * ld, kind), y[2];
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(n * 4);
        rt_pool_args args = {.rows = rows, .n = n, .x = x.data, .ldx = ld, .y = y[side].data};
        ((rt_pool_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = same_f32(&y[0], &y[1], &where);
    guarded_free(&x);
    guarded_free(&y[0]);
    guarded_free(&y[1]);
    return good || fail(why, size, "rows x width", rows, n, 1, where);
}

static bool check_pool(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 120; i++) {
        good = pool_one(row, random_below(20), widths[i % WIDTHS], (int)(i / WIDTHS % FILL_KINDS), why, size);
    }
    return good;
}

bool check_pool_mean(const kernel_row *row, char *why, size_t size) {
    return check_pool(row, why, size);
}
bool check_pool_max(const kernel_row *row, char *why, size_t size) {
    return check_pool(row, why, size);
}

bool check_normalize(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 120; i++) {
        size_t rows = random_below(9), n = widths[i % WIDTHS], ld = n + random_below(3), where = 0;
        guarded x = filled(rows * ld, (int)(i / WIDTHS % FILL_KINDS)), y[2];
        for (int side = 0; side < 2; side++) {
            y[side] = guarded_new(rows * ld * 4);
            bool in_place = i & 1;
            if (in_place) memcpy(y[side].data, x.data, x.bytes);
            const float *from = in_place ? y[side].data : x.data;
            ((rt_normalize_fn)(side == 0 ? row->ref : row->fn))(rows, n, from, ld, y[side].data, ld);
        }
        good = same_f32(&y[0], &y[1], &where) || fail(why, size, "rows x width", rows, n, 1, where);
        guarded_free(&x);
        guarded_free(&y[0]);
        guarded_free(&y[1]);
    }
    return good;
}

bool check_narrow(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t n = 0; good && n < 200; n++) {
        size_t where = 0;
        guarded x = filled(n, (int)(n % FILL_KINDS)), y[2];
        for (int side = 0; side < 2; side++) {
            y[side] = guarded_new(n * 2);
            ((rt_narrow_fn)(side == 0 ? row->ref : row->fn))(n, x.data, y[side].data);
        }
        good = same_bf16(&y[0], &y[1], &where) || fail(why, size, "length", n, 1, 1, where);
        guarded_free(&x);
        guarded_free(&y[0]);
        guarded_free(&y[1]);
    }
    return good;
}
