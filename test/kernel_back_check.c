/* SPDX-License-Identifier: Apache-2.0
 * Backward passes, and the packing of their operands. */
#include "base/tensor.h"
#include "kernel_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool fail(char *why, size_t size, size_t a, size_t b, size_t c, size_t where) {
    snprintf(why, size, "%zu x %zu x %zu: float %zu of the output differs from ref", a, b, c, where);
    return false;
}

static guarded filled(size_t floats, int kind) {
    guarded g = guarded_new(floats * sizeof(float));
    fill_f32(g.data, floats, kind);
    return g;
}

static guarded copied(const guarded *g) {
    guarded copy = guarded_new(g->bytes);
    if (g->bytes > 0) memcpy(copy.data, g->data, g->bytes);
    return copy;
}

static void free_all(guarded *all, size_t n) {
    for (size_t i = 0; i < n; i++) guarded_free(&all[i]);
}

/* ---- transpose, pack ---- */

/* Bits of `forms`: x is bf16, y is bf16, y is packed. */
static bool transpose_one(const kernel_row *row, size_t m, size_t n, unsigned forms, char *why, size_t size) {
    bool from16 = (forms & 1) != 0, half = (forms & 2) != 0, packed = (forms & 4) != 0;
    size_t ldx = n + random_below(3), ldy = m + random_below(3), where = 0;
    size_t rows = half ? n + (n & 1) : n, panel = rows * RT_PANEL + 32 * random_below(2);
    size_t count = packed ? (m + RT_PANEL - 1) / RT_PANEL * panel : n * ldy;
    guarded x = filled(m * ldx, FILL_NORMAL), x16 = guarded_new(m * ldx * sizeof(uint16_t)), y[2];
    for (size_t i = 0; i < m * ldx; i++) ((uint16_t *)x16.data)[i] = rt_f32_to_bf16(((float *)x.data)[i]);
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(count * (half ? 2 : 4));
        rt_transpose_args t = {
            .m = m, .n = n, .ldx = ldx, .ldy = ldy, .y_panel = packed ? panel + (panel == 0) : 0};
        if (from16)
            t.x16 = x16.data;
        else
            t.x = x.data;
        if (half)
            t.y16 = y[side].data;
        else
            t.y = y[side].data;
        ((rt_transpose_fn)(side == 0 ? row->ref : row->fn))(&t);
    }
    bool good = half ? same_bf16(&y[0], &y[1], &where) : same_f32(&y[0], &y[1], &where);
    free_all(y, 2);
    guarded_free(&x);
    guarded_free(&x16);
    return good || fail(why, size, m, n, forms, where);
}

bool check_transpose(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t m = 0; good && m < 80; m++)
        good = transpose_one(row, m, 1 + random_below(50), m & 7, why, size);
    for (size_t n = 0; good && n < 80; n++)
        good = transpose_one(row, 1 + random_below(50), n, n & 7, why, size);
    return good;
}

static bool pack_one(const kernel_row *row, size_t k, size_t n, bool half, char *why, size_t size) {
    size_t ldx = n + random_below(3), where = 0, rows = half ? k + (k & 1) : k;
    size_t panel = rows * RT_PANEL + 32 * random_below(2), panels = (n + RT_PANEL - 1) / RT_PANEL;
    guarded x = filled(k * ldx, FILL_NORMAL), y[2];
    for (int side = 0; side < 2; side++) {
        y[side] = guarded_new(panels * panel * (half ? 2 : 4));
        rt_pack_args pack = {.k = k, .n = n, .x = x.data, .ldx = ldx, .y_panel = panel};
        if (half)
            pack.y16 = y[side].data;
        else
            pack.y = y[side].data;
        ((rt_pack_fn)(side == 0 ? row->ref : row->fn))(&pack);
    }
    bool good = half ? same_bf16(&y[0], &y[1], &where) : same_f32(&y[0], &y[1], &where);
    free_all(y, 2);
    guarded_free(&x);
    return good || fail(why, size, k, n, 1, where);
}

bool check_pack(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t k = 0; good && k < 40; k++) good = pack_one(row, k, 1 + random_below(50), k & 1, why, size);
    for (size_t n = 1; good && n < 70; n++) good = pack_one(row, 1 + random_below(40), n, n & 1, why, size);
    return good;
}

/* ---- act_back ---- */

static bool act_one(const kernel_row *row, rt_act act, size_t n, int kind, char *why, size_t size) {
    size_t where = 0;
    guarded z = filled(n, kind), d[2] = {filled(n, FILL_NORMAL)};
    d[1] = copied(&d[0]);
    for (size_t i = 0; kind == FILL_NORMAL && i < n; i++)
        ((float *)z.data)[i] *= 4; /* also where slopes are flat */
    ((rt_act_back_fn)row->ref)(act, n, z.data, d[0].data);
    ((rt_act_back_fn)row->fn)(act, n, z.data, d[1].data);
    bool good = same_f32(&d[0], &d[1], &where);
    guarded_free(&z);
    free_all(d, 2);
    return good || fail(why, size, (size_t)act, n, (size_t)kind, where);
}

bool check_act_back(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t n = 0; good && n < 400; n++)
        good = act_one(row, (rt_act)(n % 6), n, (int)(n / 6 % FILL_KINDS), why, size);
    return good;
}

/* ---- gate_back ---- */

static bool gate_back_one(const kernel_row *row, size_t rows, size_t n, int kind, char *why, size_t size) {
    size_t ld = 2 * n + random_below(3), where = 0;
    rt_act act = (rt_act)random_below(RT_FN_GELU_SHORT + 1);
    guarded x = filled(rows * ld, kind), dy = filled(rows * ld, FILL_NORMAL), dx[2];
    for (int side = 0; side < 2; side++) {
        dx[side] = guarded_new(rows * ld * sizeof(float));
        rt_gate_back args = {.rows = rows,
                             .n = n,
                             .x = x.data,
                             .ldx = ld,
                             .act = act,
                             .dy = dy.data,
                             .lddy = ld,
                             .dx = dx[side].data,
                             .lddx = ld};
        ((rt_gate_back_fn)(side == 0 ? row->ref : row->fn))(&args);
    }
    bool good = same_f32(&dx[0], &dx[1], &where);
    guarded_free(&x);
    guarded_free(&dy);
    free_all(dx, 2);
    return good || fail(why, size, rows, n, (size_t)act, where);
}

bool check_gate_back(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t i = 0; good && i < 200; i++)
        good = gate_back_one(row, random_below(9), random_below(100), (int)(i % FILL_KINDS), why, size);
    return good;
}

/* ---- layer_norm_back ---- */

static bool norm_one(const kernel_row *row, size_t rows, size_t n, bool vectors, bool rms, char *why,
                     size_t size) {
    bool add = random_below(2) != 0;
    size_t ld = n + random_below(3), where = 0;
    guarded x = filled(rows * ld, FILL_NORMAL), dy = filled(rows * ld, FILL_NORMAL),
            gamma = filled(n, FILL_NORMAL);
    guarded dx[2] = {filled(rows * ld, FILL_NORMAL)}, sums[2] = {filled(2 * n, FILL_NORMAL)};
    dx[1] = copied(&dx[0]);
    sums[1] = copied(&sums[0]);
    for (int side = 0; side < 2; side++) {
        float *s = sums[side].data;
        rt_norm_back norm = {.rows = rows,
                             .n = n,
                             .x = x.data,
                             .ldx = ld,
                             .gamma = gamma.data,
                             .epsilon = 1e-5f,
                             .dy = dy.data,
                             .lddy = ld,
                             .dx = dx[side].data,
                             .lddx = ld,
                             .rms = rms,
                             .add = add,
                             .dgamma = vectors ? s : NULL,
                             .dbeta = vectors ? s + n : NULL};
        ((rt_norm_back_fn)(side == 0 ? row->ref : row->fn))(&norm);
    }
    bool good = same_f32(&dx[0], &dx[1], &where) && same_f32(&sums[0], &sums[1], &where);
    free_all(dx, 2);
    free_all(sums, 2);
    guarded *all[] = {&x, &dy, &gamma};
    for (size_t i = 0; i < 3; i++) guarded_free(all[i]);
    return good || fail(why, size, rows, n, vectors + 2 * (size_t)rms, where);
}

bool check_layer_norm_back(const kernel_row *row, char *why, size_t size) {
    static const size_t widths[] = {1, 2, 15, 16, 17, 31, 33, 48, 100, 127, 384, 768};
    bool good = true;
    for (size_t i = 0; good && i < 96; i++) {
        good = norm_one(row, random_below(9), widths[i % 12], (i & 1) != 0, random_below(2) != 0, why, size);
    }
    return good;
}

/* ---- attention_back ---- */

enum { REACH = 60, TABLE_ROWS = 2 * REACH + 1, MOST_DISTANCE = 180 + RT_RELATIVE_BEYOND };

/* Tables of one head by distance, as a graph has them and as kernels do. */
typedef struct distances {
    guarded bias, table[2], panels[2], index, column, places, sums[2][3]; /* bias, keys, queries */
    rt_relative relative;
    rt_relative_back back[2]; /* of ref and of the row */
} distances;

/* forms: bits for a bias, keys, queries, and places of queries that are not 0, 1, …; all rows of distances beyond the reach
 * are the last ones. */
static void open_distances(distances *d, unsigned forms, size_t dim, size_t ld, size_t queries, size_t keys) {
    enum { WIDE = 2 * MOST_DISTANCE + 1, ROWS = (TABLE_ROWS + RT_PANEL - 1) / RT_PANEL * RT_PANEL };
    *d = (distances){.bias = guarded_new(WIDE * sizeof(float)),
                     .index = guarded_new(TABLE_ROWS * sizeof(int64_t)),
                     .column = guarded_new(WIDE * sizeof(int32_t)),
                     .places = guarded_new(queries * sizeof(int32_t))};
    int64_t *index = d->index.data;
    guarded bias = filled(TABLE_ROWS, FILL_NORMAL);
    for (int i = 0; i < TABLE_ROWS; i++) index[i] = i;
    for (int i = 0; i < WIDE; i++) {
        int distance = i - MOST_DISTANCE, inside = distance < -REACH  ? -REACH
                                                   : distance > REACH ? REACH
                                                                      : distance;
        ((float *)d->bias.data)[i] = ((float *)bias.data)[inside + REACH];
        ((int32_t *)d->column.data)[i] = inside + REACH;
    }
    guarded_free(&bias);
    for (size_t i = 0; i < queries; i++) ((int32_t *)d->places.data)[i] = (int32_t)(3 + i * keys / queries);
    if (forms & 1) d->relative.bias = (float *)d->bias.data + MOST_DISTANCE;
    if (forms & 8) d->relative.places = d->places.data;
    d->relative.start = 3;
    d->relative.column = (int32_t *)d->column.data + MOST_DISTANCE;
    for (int t = 0; t < 2; t++) {
        d->table[t] = filled(TABLE_ROWS * ld, FILL_NORMAL);
        d->panels[t] = guarded_new(ROWS * dim * sizeof(float));
        rt_pack_f32(dim, TABLE_ROWS, d->table[t].data, 1, ld, d->panels[t].data);
    }
    if (forms & 2) d->relative.key = d->panels[0].data;
    if (forms & 4) d->relative.query = d->panels[1].data;
    for (int side = 0; side < 2; side++) {
        for (int t = 0; t < 3; t++)
            d->sums[side][t] = side == 0 ? filled(TABLE_ROWS * ld, FILL_NORMAL) : copied(&d->sums[0][t]);
        rt_relative_back *b = &d->back[side];
        *b = (rt_relative_back){.index = index, .reach = REACH, .ld = ld};
        if (forms & 1) b->dbias = d->sums[side][0].data;
        if (forms & 2) b->key = d->table[0].data;
        if (forms & 2) b->dkey = d->sums[side][1].data;
        if (forms & 4) b->query = d->table[1].data;
        if (forms & 4) b->dquery = d->sums[side][2].data;
    }
}

static bool close_distances(distances *d, size_t *where) {
    bool same = true;
    for (int t = 0; t < 3; t++) same = same && same_f32(&d->sums[0][t], &d->sums[1][t], where);
    guarded *all[] = {&d->bias,      &d->table[0], &d->table[1], &d->panels[0],
                      &d->panels[1], &d->index,    &d->column,   &d->places};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    for (int side = 0; side < 2; side++) free_all(d->sums[side], 3);
    return same;
}

typedef struct attention_case {
    size_t queries, keys, dim, window;
    bool shared;
    unsigned distances; /* forms of open_distances; 0: none */
} attention_case;

static bool attention_one(const kernel_row *row, attention_case c, char *why, size_t size) {
    size_t queries = c.queries, keys = c.keys, dim = c.dim;
    size_t ld = dim + random_below(5), where = 0, scratch_size = rt_attention_back_scratch(keys, dim);
    if (c.distances != 0) scratch_size += rt_attention_relative_scratch(keys);
    guarded q = filled(queries * ld, FILL_NORMAL), k = filled(keys * ld, FILL_NORMAL),
            v = filled(keys * ld, FILL_NORMAL), dy = filled(queries * ld, FILL_NORMAL),
            scratch = guarded_new(scratch_size * sizeof(float));
    guarded dq[2] = {filled(queries * ld, FILL_NORMAL)}, dk[2] = {filled(keys * ld, FILL_NORMAL)},
            dv[2] = {filled(keys * ld, FILL_NORMAL)};
    distances d;
    if (c.distances != 0) open_distances(&d, c.distances, dim, ld, queries, keys);
    dq[1] = copied(&dq[0]);
    dk[1] = copied(&dk[0]);
    dv[1] = copied(&dv[0]);
    for (int side = 0; side < 2; side++) {
        rt_attention_back at = {.queries = queries,
                                .keys = keys,
                                .dim = dim,
                                .q = q.data,
                                .k = k.data,
                                .v = v.data,
                                .dy = dy.data,
                                .ldq = ld,
                                .ldk = ld,
                                .ldv = ld,
                                .ldy = ld,
                                .window = c.window,
                                .scale = dim == 1 ? 40.0f : 0.7f,
                                .relative = c.distances != 0 ? &d.relative : NULL,
                                .tables = c.distances != 0 ? &d.back[side] : NULL,
                                .dq = dq[side].data,
                                .dk = dk[side].data,
                                .dv = c.shared ? dk[side].data : dv[side].data,
                                .scratch = scratch.data};
        ((rt_attention_back_fn)(side == 0 ? row->ref : row->fn))(&at);
    }
    bool good = same_f32(&dq[0], &dq[1], &where) && same_f32(&dk[0], &dk[1], &where) &&
                same_f32(&dv[0], &dv[1], &where);
    if (c.distances != 0) good = close_distances(&d, &where) && good;
    free_all(dq, 2);
    free_all(dk, 2);
    free_all(dv, 2);
    guarded *all[] = {&q, &k, &v, &dy, &scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    return good || fail(why, size, queries, keys, dim, where);
}

bool check_attention_back(const kernel_row *row, char *why, size_t size) {
    static const size_t dims[] = {1, 4, 8, 12, 16, 32, 33, 64, 80};
    bool good = true;
    for (size_t keys = 0; good && keys <= 50; keys++)
        good = attention_one(row, (attention_case){keys, keys, dims[keys % 9], 0, (keys & 1) != 0, 0}, why,
                             size);
    for (size_t queries = 1; good && queries <= 70; queries += 3)
        good = attention_one(
            row, (attention_case){queries, 1 + random_below(70), dims[queries % 9], 0, false, 0}, why, size);
    for (size_t keys = 1; good && keys <= 170; keys += 7)
        good = attention_one(
            row, (attention_case){keys, keys, dims[keys % 9], 1 + random_below(70), false, 0}, why, size);
    for (unsigned forms = 1; good && forms < 16; forms++) {
        if ((forms & 7) == 0) continue;
        for (size_t keys = 1; good && keys <= 170; keys += 13) {
            size_t queries = forms & 8 ? 1 + random_below(keys) : keys;
            good = attention_one(
                row, (attention_case){queries, keys, dims[(keys + forms) % 9], 0, false, forms}, why, size);
        }
    }
    return good && attention_one(row, (attention_case){1, 384, 32, 0, false, 0}, why, size) &&
           attention_one(row, (attention_case){12, 130, 384, 0, true, 0}, why, size);
}
