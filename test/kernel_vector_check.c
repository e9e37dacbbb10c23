/* SPDX-License-Identifier: Apache-2.0
 * Attention, normalisation, pooling, conversion. */
#include "base/memory.h"
#include "kernel_check.h"

#include <math.h>
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

/* Random tables by distance for so many places of queries and keys. */
typedef struct relative_tables {
    guarded bias, bias_back, column, key, query, places;
    rt_relative relative;
} relative_tables;

enum { RELATIVE_NONE, RELATIVE_BIAS = 1, RELATIVE_KEY = 2, RELATIVE_QUERY = 4, RELATIVE_PLACES = 8 };

static relative_tables tables_of(size_t queries, size_t keys, size_t dim, int parts, int kind) {
    size_t most = keys > queries ? keys : queries, wide = 2 * (most + RT_RELATIVE_BEYOND) + 1;
    relative_tables t = {.bias = filled(wide, kind),
                         .bias_back = guarded_new(wide * sizeof(float)),
                         .column = guarded_new(wide * sizeof(int32_t)),
                         .places = guarded_new(queries * sizeof(int32_t))};
    float *bias = t.bias.data, *back = t.bias_back.data;
    int32_t *column = t.column.data, *places = t.places.data;
    size_t every = 1 + random_below(8); /* distances that have a column of their own, on the whole */
    for (size_t i = 0; i < wide; i++) {
        back[wide - 1 - i] = bias[i];
        column[i] = i == 0 ? 0 : column[i - 1] + (i > wide / 3 || random_below(every) == 0);
    }
    for (size_t r = 0; r < queries; r++) places[r] = (int32_t)(most - queries + r + 3);
    size_t columns = rt_round_up((size_t)column[wide - 1] + 1, RT_PANEL);
    t.key = filled(columns * dim, kind);
    t.query = filled(columns * dim, kind);
    if ((parts & RELATIVE_BIAS) != 0) {
        t.relative.bias = bias + wide / 2;
        t.relative.bias_back = back + wide / 2;
    }
    t.relative.column = column + wide / 2;
    if ((parts & RELATIVE_KEY) != 0) t.relative.key = t.key.data;
    if ((parts & RELATIVE_QUERY) != 0) t.relative.query = t.query.data;
    if ((parts & RELATIVE_PLACES) != 0) t.relative.places = places;
    t.relative.start = 3;
    return t;
}

static bool attention_with(const kernel_row *row, size_t queries, size_t keys, size_t dim, int parts,
                           size_t window, int kind, char *why, size_t size) {
    bool s8 = strcmp(row->family, "attention_s8") == 0;
    size_t ld = dim + random_below(5), where = 0;
    size_t scratch_size = s8 ? rt_attention_s8_scratch(keys, dim) : rt_attention_scratch(keys, dim);
    relative_tables tables = tables_of(queries, keys, dim, parts, kind);
    if ((parts & (RELATIVE_KEY | RELATIVE_QUERY)) != 0) scratch_size += rt_attention_relative_scratch(keys);
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
                           .window = window,
                           .scale = dim == 1 ? 40.0f : 1.5f,
                           .relative = parts != RELATIVE_NONE ? &tables.relative : NULL,
                           .ldo = ld,
                           .ldo16 = ld};
        at.scratch = scratch.data;
        if (outputs & 1) at.out = out[side].data;
        if (outputs & 2) at.out16 = out16[side].data;
        ((rt_attention_fn)(side == 0 ? row->ref : row->fn))(&at);
    }
    bool good = same_f32(&out[0], &out[1], &where) && same_bf16(&out16[0], &out16[1], &where);
    guarded *all[] = {&q,
                      &k,
                      &v,
                      &scratch,
                      &out[0],
                      &out[1],
                      &out16[0],
                      &out16[1],
                      &tables.bias,
                      &tables.bias_back,
                      &tables.column,
                      &tables.key,
                      &tables.query,
                      &tables.places};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "queries x keys x dim", queries, keys, dim, where);
}

static bool attention_one(const kernel_row *row, size_t queries, size_t keys, size_t dim, int kind, char *why,
                          size_t size) {
    return attention_with(row, queries, keys, dim, RELATIVE_NONE, 0, kind, why, size);
}

/* A bias, which integers have too, position keys and queries, each alone and together, for adjacent queries and others. */
static bool check_relative(const kernel_row *row, char *why, size_t size) {
    static const size_t dims[] = {1, 8, 16, 33, 64};
    bool s8 = strcmp(row->family, "attention_s8") == 0, good = true;
    int most = s8 ? RELATIVE_BIAS : RELATIVE_PLACES + RELATIVE_QUERY + RELATIVE_KEY + RELATIVE_BIAS;
    for (int i = 0; good && i < 120; i++) {
        size_t keys = 1 + random_below(i < 20 ? 300 : 50), queries = 1 + random_below(keys);
        int parts = 1 + i % most, kind = i % 10 == 9 ? i / 10 % FILL_KINDS : FILL_NORMAL;
        good = attention_with(row, queries, keys, dims[i % 5], parts, 0, kind, why, size);
    }
    return good && attention_with(row, 3, 0, 16, most, 0, FILL_NORMAL, why, size) &&
           attention_with(row, 130, 130, 32, most & 7, 0, FILL_NORMAL, why, size);
}

static bool windows_same(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 150; i++) {
        size_t keys = 1 + random_below(100), window = 1 + random_below(i % 3 == 0 ? 120 : 30);
        good = attention_with(row, keys + random_below(40), keys, 1 + random_below(70), RELATIVE_NONE, window,
                              i < 120 ? FILL_NORMAL : (int)(i % FILL_ANY_BITS), why, size);
    }
    return good && attention_with(row, 300, 300, 64, RELATIVE_NONE, 64, FILL_NORMAL, why, size) &&
           attention_with(row, 150, 20, 16, RELATIVE_NONE, 8, FILL_NORMAL, why, size);
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
    return good && windows_same(row, why, size) && attention_one(row, 1, 512, 64, FILL_NORMAL, why, size) &&
           attention_one(row, 13, 384, 64, FILL_NORMAL, why, size) &&
           attention_one(row, 16, 128, 32, FILL_NORMAL, why, size) &&
           attention_one(row, 2, 700, 1, FILL_NORMAL, why, size) &&
           attention_one(row, 3, 0, 16, FILL_NORMAL, why, size) && check_relative(row, why, size);
}

bool check_attention_s8(const kernel_row *row, char *why, size_t size) {
    return check_attention(row, why, size) && attention_one(row, 7, 8191, 3, FILL_NORMAL, why, size) &&
           attention_one(row, 5, 40, 512, FILL_HUGE, why, size);
}

/* ---- layer_norm, embed ---- */

static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 48, 100, 127, 384, 768};
enum { WIDTHS = sizeof widths / sizeof *widths };

/* What LayerNorm writes; [0] by ref, [1] by the kernel. */
typedef struct normal {
    guarded y[2], y16[2], y8[2], scale8[2];
} normal;

/* Buffers of side `side` into args; outputs bit 0: float, bit 1: bf16, bit 2: int8. */
static void normal_new(normal *out, int side, int outputs, rt_norm_args *args) {
    size_t rows = args->rows, ld = args->ldy;
    out->y[side] = guarded_new(rows * ld * 4);
    out->y16[side] = guarded_new(rows * ld * 2);
    out->y8[side] = guarded_new(rows * rt_row_q(args->n));
    out->scale8[side] = guarded_new(rows * sizeof(rt_row_scale));
    if (outputs & 1) args->y = out->y[side].data;
    if (outputs & 2) args->y16 = out->y16[side].data;
    if (outputs & 4) args->y8 = out->y8[side].data;
    if (outputs & 4) args->scale8 = out->scale8[side].data;
}

static bool normal_same(const normal *out, size_t *where) {
    return same_f32(&out->y[0], &out->y[1], where) && same_bf16(&out->y16[0], &out->y16[1], where) &&
           same_f32(&out->scale8[0], &out->scale8[1], where) && same_bytes(&out->y8[0], &out->y8[1]);
}

/* The int8 rows must be what quantize makes of the float ones. */
static bool normal_quantized(const normal *out, size_t rows, size_t n, size_t ld, const rt_rows_q *how) {
    size_t where = 0;
    guarded q = guarded_new(rows * rt_row_q(n)), scale = guarded_new(rows * sizeof(rt_row_scale));
    rt_quantize_ref(rows, n, out->y[0].data, ld, how, q.data, rt_row_q(n), scale.data);
    bool good = same_bytes(&q, &out->y8[0]) && same_f32(&scale, &out->scale8[0], &where);
    guarded_free(&q);
    guarded_free(&scale);
    return good;
}

static void normal_free(normal *out) {
    for (int side = 0; side < 2; side++) {
        guarded *all[] = {&out->y[side], &out->y16[side], &out->y8[side], &out->scale8[side]};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    }
}

static bool norm_one(const kernel_row *row, size_t rows, size_t n, int kind, char *why, size_t size) {
    size_t ld = n + random_below(3), where = 0;
    guarded x = filled(rows * ld, kind), gamma = filled(n, kind), beta = filled(n, kind);
    guarded factor = filled(n, FILL_NORMAL), add = filled(n, FILL_NORMAL);
    normal out = {0};
    int outputs = 1 + (int)random_below(7);
    bool in_place = random_below(4) == 0;
    const float given[2] = {-1.5f, 4.0f};
    rt_rows_q how = {.range = random_below(3) == 0 ? given : NULL};
    bool moved = random_below(2) == 0, rms = random_below(3) == 0;
    if (moved) how.factor = factor.data;
    if (moved) how.add = add.data;
    for (int side = 0; side < 2; side++) {
        rt_norm_args args = {.rows = rows,
                             .how8 = how,
                             .n = n,
                             .x = x.data,
                             .ldx = ld,
                             .rms = rms,
                             .gamma = gamma.data,
                             .beta = rms ? NULL : beta.data,
                             .epsilon = 1e-12f,
                             .ldy = ld,
                             .ldy16 = ld};
        normal_new(&out, side, in_place ? outputs | 1 : outputs, &args);
        if (in_place) memcpy(args.y, x.data, x.bytes);
        if (in_place) args.x = args.y;
        ((rt_norm_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = normal_same(&out, &where);
    if (outputs == 5 || outputs == 7) good = good && normal_quantized(&out, rows, n, ld, &how);
    guarded *all[] = {&x, &gamma, &beta, &factor, &add};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    normal_free(&out);
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

/* A table of words in one of its three forms: floats, 8 or 4 bits. */
typedef struct words {
    guarded rows, scale, group;
    size_t group_size;
} words;

static words words_new(size_t count, size_t n, int bits) {
    words w = {.scale = filled(count, FILL_NORMAL), .group_size = 32 * (1 + random_below(4))};
    size_t groups = (n + w.group_size - 1) / w.group_size;
    w.group = guarded_new(count * groups);
    for (size_t i = 0; i < count * groups; i++) ((uint8_t *)w.group.data)[i] = (uint8_t)random_below(16);
    w.rows = bits == 32 ? filled(count * n, FILL_NORMAL)
                        : guarded_new(count * (bits == 8 ? n : (n + 31) / 32 * 16));
    for (size_t i = 0; bits < 32 && i < w.rows.bytes; i++)
        ((uint8_t *)w.rows.data)[i] = (uint8_t)random_u32();
    return w;
}

static bool embed_one(const kernel_row *row, size_t rows, size_t n, bool types, int bits, char *why,
                      size_t size) {
    enum { WORDS = 9 };
    size_t where = 0;
    words word = words_new(WORDS, n, bits);
    bool position_q = random_u32() & 1, placed = random_below(4) > 0, raw = random_below(4) == 0;
    words position = words_new(WORDS, n, position_q ? 8 : 32);
    guarded position_scale = filled(n, FILL_NORMAL), type = filled(2 * n, FILL_NORMAL);
    guarded gamma = filled(n, FILL_NORMAL), beta = filled(n, FILL_NORMAL);
    guarded factor = filled(n, FILL_NORMAL), add = filled(n, FILL_NORMAL);
    guarded index = guarded_new(rows * 3 * sizeof(int32_t));
    rt_rows_q how = {0};
    if (types) how = (rt_rows_q){.factor = factor.data, .add = add.data};
    normal out = {0};
    int32_t *ids = index.data;
    for (size_t i = 0; i < 3 * rows; i++) ids[i] = (int32_t)random_below(i < 2 * rows ? WORDS : 2);
    for (int side = 0; side < 2; side++) {
        rt_embed_args args = {.ids = ids,
                              .positions = ids + rows,
                              .types = types ? ids + 2 * rows : NULL,
                              .word = bits == 32 ? word.rows.data : NULL,
                              .position = position_q || !placed ? NULL : position.rows.data,
                              .position_q = placed ? position.rows.data : NULL,
                              .position_scale = position_scale.data,
                              .type = types ? type.data : NULL,
                              .word_q = word.rows.data,
                              .word_bits = bits,
                              .word_scale = word.scale.data,
                              .word_group = word.group.data,
                              .word_group_size = word.group_size,
                              .norm = {.rows = rows,
                                       .n = n,
                                       .gamma = raw ? NULL : gamma.data,
                                       .beta = beta.data,
                                       .epsilon = 1e-5f,
                                       .how8 = how,
                                       .ldy = n,
                                       .ldy16 = n}};
        normal_new(&out, side, raw ? 1 : 7, &args.norm);
        ((rt_embed_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = normal_same(&out, &where) && (raw || normal_quantized(&out, rows, n, n, &how));
    guarded *all[] = {&word.rows,      &word.scale,     &word.group, &position.rows, &position_scale,
                      &position.scale, &position.group, &type,       &gamma,         &beta,
                      &index,          &factor,         &add};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    normal_free(&out);
    return good || fail(why, size, "rows x width x bits", rows, n, (size_t)bits, where);
}

bool check_embed(const kernel_row *row, char *why, size_t size) {
    static const int bits[] = {32, 8, 4};
    bool good = true;
    for (size_t i = 0; good && i < 6 * WIDTHS; i++) {
        good = embed_one(row, random_below(9), widths[i % WIDTHS], i & 1, bits[i / WIDTHS % 3], why, size);
    }
    return good;
}

/* ---- gate, rotate ---- */

static bool gate_one(const kernel_row *row, size_t rows, size_t n, int kind, char *why, size_t size) {
    size_t ld = 2 * n + random_below(3), where = 0;
    guarded x = filled(rows * ld, kind), y[2], y16[2];
    rt_act act = (rt_act)random_below(RT_FN_GELU_SHORT + 1);
    int outputs = 1 + (int)random_below(3);
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(rows * ld * 4);
        y16[side] = guarded_new(rows * ld * 2);
        rt_gate_args args = {
            .rows = rows, .n = n, .x = x.data, .ldx = ld, .act = act, .ldy = ld, .ldy16 = ld};
        if (outputs & 1) args.y = y[side].data;
        if (outputs & 2) args.y16 = y16[side].data;
        ((rt_gate_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = same_f32(&y[0], &y[1], &where) && same_bf16(&y16[0], &y16[1], &where);
    guarded *all[] = {&x, &y[0], &y[1], &y16[0], &y16[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "rows x width x act", rows, n, (size_t)act, where);
}

bool check_gate(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 120; i++)
        good = gate_one(row, random_below(9), widths[i % WIDTHS], (int)(i / WIDTHS % FILL_KINDS), why, size);
    return good;
}

static bool rotate_one(const kernel_row *row, size_t rows, size_t heads, size_t dim, int kind, char *why,
                       size_t size) {
    enum { POSITIONS = 7 };
    size_t first = dim % (2 * RT_PANEL) == 0 ? random_below(heads * dim / (2 * RT_PANEL)) * 2 * RT_PANEL : 0;
    size_t n = heads * dim - first, ld = n + random_below(3), where = 0;
    guarded from = filled(rows * ld, kind), table = filled(POSITIONS * dim, FILL_NORMAL), x[2];
    guarded positions = guarded_new(rows * sizeof(int32_t));
    bool back = random_below(2) != 0;
    for (size_t i = 0; i < rows; i++) ((int32_t *)positions.data)[i] = (int32_t)random_below(POSITIONS);
    for (int side = 0; side < 2; side++) {
        x[side] = guarded_new(from.bytes);
        memcpy(x[side].data, from.data, from.bytes);
        rt_rotate_args args = {rows, n, dim, first, x[side].data, ld, positions.data, table.data, back};
        ((rt_rotate_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = same_f32(&x[0], &x[1], &where);
    guarded *all[] = {&from, &table, &positions, &x[0], &x[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "rows x heads x dim", rows, heads, dim, where);
}

bool check_rotate(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 120; i++) {
        good = rotate_one(row, random_below(9), 1 + random_below(4),
                          i % 3 ? 2 + 2 * random_below(60) : 32 * (1 + random_below(4)),
                          (int)(i % FILL_KINDS), why, size);
    }
    return good;
}

/* ---- pooling, normalize, to_bf16 ---- */

static bool pool_one(const kernel_row *row, size_t rows, size_t n, int kind, char *why, size_t size) {
    size_t ld = n + random_below(3), where = 0, first_weight = random_below(3) * 3;
    guarded x = filled(rows * ld, kind), y[2];
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(n * 4);
        rt_pool_args args = {rows, n, first_weight, x.data, ld, y[side].data};
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

bool check_to_bf16(const kernel_row *row, char *why, size_t size) {
    static const uint32_t nans[] = {0x7f800001u, 0x7fffffffu}; /* rounded like numbers: infinity and -0 */
    bool good = true;
    for (size_t n = 0; good && n < 200; n++) {
        size_t where = 0;
        guarded x = filled(n, (int)(n % FILL_KINDS)), y[2];
        if (n > 1) memcpy((float *)x.data + random_below(n - 1), nans, sizeof nans);
        for (int side = 0; side < 2; side++) {
            y[side] = guarded_new(n * 2);
            ((rt_to_bf16_fn)(side == 0 ? row->ref : row->fn))(n, x.data, y[side].data);
        }
        good = same_bf16(&y[0], &y[1], &where) || fail(why, size, "length", n, 1, 1, where);
        guarded_free(&x);
        guarded_free(&y[0]);
        guarded_free(&y[1]);
    }
    return good;
}

/* ---- Training ---- */

/* Gradients, weights and moments; the second ones are not negative. */
static bool adamw_one(const kernel_row *row, size_t n, int kind, char *why, size_t size) {
    guarded g = filled(n, kind), w[2], m[2], v[2];
    size_t where = 0;
    for (int side = 0; side < 2; side++) {
        random_seed((uint32_t)n + 1);
        w[side] = filled(n, kind);
        m[side] = filled(n, kind);
        v[side] = filled(n, kind);
        for (size_t i = 0; i < n; i++) ((float *)v[side].data)[i] = fabsf(((float *)v[side].data)[i]);
        rt_adamw step = {n,      w[side].data, m[side].data, v[side].data, g.data, 0.7f, 0.1f,
                         0.001f, 0.999f,       0.99f,        5e-4f,        3.0f,   1e-8f};
        ((rt_adamw_fn)(side == 0 ? row->ref : row->fn))(&step);
    }
    bool good =
        same_f32(&w[0], &w[1], &where) && same_f32(&m[0], &m[1], &where) && same_f32(&v[0], &v[1], &where);
    guarded *all[] = {&g, &w[0], &w[1], &m[0], &m[1], &v[0], &v[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, "numbers", n, 1, 1, where);
}

bool check_adamw(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t n = 0; good && n < 200; n++) good = adamw_one(row, n, (int)(n % FILL_KINDS), why, size);
    return good;
}

bool check_squares(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t n = 0; good && n < 300; n++) {
        size_t where = 0;
        guarded x = filled(n, (int)(n % FILL_KINDS)), sum[2];
        for (int side = 0; side < 2; side++) {
            sum[side] = guarded_new(sizeof(float));
            *(float *)sum[side].data = ((rt_squares_fn)(side == 0 ? row->ref : row->fn))(n, x.data);
        }
        good = same_f32(&sum[0], &sum[1], &where) || fail(why, size, "length", n, 1, 1, where);
        guarded_free(&x);
        guarded_free(&sum[0]);
        guarded_free(&sum[1]);
    }
    return good;
}
