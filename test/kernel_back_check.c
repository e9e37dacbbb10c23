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

/* ---- layer_norm_back ---- */

static bool norm_one(const kernel_row *row, size_t rows, size_t n, bool vectors, bool add, char *why,
                     size_t size) {
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
    return good || fail(why, size, rows, n, vectors, where);
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

static bool attention_one(const kernel_row *row, size_t queries, size_t keys, size_t dim, bool shared,
                          char *why, size_t size) {
    size_t ld = dim + random_below(5), where = 0, scratch_size = rt_attention_back_scratch(keys, dim);
    guarded q = filled(queries * ld, FILL_NORMAL), k = filled(keys * ld, FILL_NORMAL),
            v = filled(keys * ld, FILL_NORMAL), dy = filled(queries * ld, FILL_NORMAL),
            scratch = guarded_new(scratch_size * sizeof(float));
    guarded dq[2] = {filled(queries * ld, FILL_NORMAL)}, dk[2] = {filled(keys * ld, FILL_NORMAL)},
            dv[2] = {filled(keys * ld, FILL_NORMAL)};
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
                                .scale = dim == 1 ? 40.0f : 0.7f,
                                .dq = dq[side].data,
                                .dk = dk[side].data,
                                .dv = shared ? dk[side].data : dv[side].data,
                                .scratch = scratch.data};
        ((rt_attention_back_fn)(side == 0 ? row->ref : row->fn))(&at);
    }
    bool good = same_f32(&dq[0], &dq[1], &where) && same_f32(&dk[0], &dk[1], &where) &&
                same_f32(&dv[0], &dv[1], &where);
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
        good = attention_one(row, keys, keys, dims[keys % 9], (keys & 1) != 0, why, size);
    for (size_t queries = 1; good && queries <= 70; queries += 3)
        good = attention_one(row, queries, 1 + random_below(70), dims[queries % 9], false, why, size);
    return good && attention_one(row, 1, 384, 32, false, why, size) &&
           attention_one(row, 12, 130, 384, true, why, size);
}
