/* SPDX-License-Identifier: Apache-2.0
 * Products of integers, quantisation of rows. */
#include "base/memory.h"
#include "kernel_check.h"

#include <stdio.h>
#include <string.h>

/* How a product's integers are chosen. */
enum { ANY, EXTREME, SAME, NOTHING, KINDS }; /* up to ±127; each ±127; all 127 * -127; zero rows */

/* One product with all its buffers; c[0] is written by ref, c[1] by the kernel. */
typedef struct product {
    rt_gemm_q g;
    guarded a, a_scale, a_outliers, b, b_group, b_outliers, b_scale, b_sum, bias, residual, scratch, c[2];
} product;

static int random_within(int most) {
    return (int)random_below((size_t)(2 * most + 1)) - most;
}

static int integer(int kind, int most, bool weight) {
    switch (kind) {
    case EXTREME:
        return random_u32() & 1 ? most : -most;
    case SAME:
        return weight ? -most : most;
    case NOTHING:
        return weight ? random_within(most) : 0;
    default:
        return random_within(most);
    }
}

/* Codes [k, n] and group scales such that code * scale stays within ±127, 0…255 where the codes are 0. */
static void fill_s4(int8_t *codes, uint8_t *groups, size_t k, size_t n, size_t group, int kind) {
    for (size_t i = 0; i < (k + group - 1) / group * n; i++) {
        int most = kind == SAME ? 7 : (int)random_below(9);
        groups[i] = (uint8_t)(most == 0     ? random_below(256)
                              : kind == ANY ? random_below(128 / (size_t)most)
                                            : 127u / (unsigned)most);
        for (size_t l = i / n * group; l < k && l < (i / n + 1) * group; l++) {
            int code = integer(kind, most, true);
            codes[l * n + i % n] = (int8_t)(code == 8 ? 7 : code);
        }
    }
}

static void make_s4(product *p, int kind) {
    size_t k = p->g.k, n = p->g.n, bytes = 0, count = 0;
    p->g.group = 8 * (1 + random_below(20));
    guarded codes = guarded_new(k * n), groups = guarded_new((k + p->g.group - 1) / p->g.group * n);
    fill_s4(codes.data, groups.data, k, n, p->g.group, kind);
    if (!rt_pack_count_s4(k, n, &bytes) || !rt_pack_count_group(k, n, p->g.group, &count)) return;
    p->b = guarded_new(bytes);
    p->b_group = guarded_new(count);
    p->scratch = guarded_new(rt_gemm_q_scratch(k));
    rt_pack_s4(k, n, p->g.group, codes.data, n, 1, groups.data, p->b.data, p->b_group.data, p->b_sum.data);
    p->g.b_group = p->b_group.data;
    p->g.scratch = p->scratch.data;
    guarded_free(&codes);
    guarded_free(&groups);
}

/* Random int8 weights [k, n], packed, and their b_sum. */
static guarded pack_random(size_t k, size_t n, int kind, int32_t *sums) {
    size_t bytes = 0;
    guarded plain = guarded_new(k * n), packed = {0};
    int8_t *weight = plain.data;
    for (size_t i = 0; i < k * n; i++) weight[i] = (int8_t)integer(kind, 127, true);
    if (rt_pack_count_s8(k, n, &bytes)) packed = guarded_new(bytes);
    rt_pack_s8(k, n, weight, n, 1, packed.data, sums);
    guarded_free(&plain);
    return packed;
}

/* Up to 16 outlier rows, in every second product. */
static void make_outliers(product *p, int kind) {
    size_t n = p->g.n, outliers = random_u32() & 1 ? 8 * (1 + random_below(2)) : 0;
    guarded sums = guarded_new(n * sizeof(int32_t));
    int32_t *all = p->b_sum.data;
    const int32_t *more = sums.data;
    p->b_outliers = pack_random(outliers, n, kind, sums.data);
    for (size_t j = 0; j < n; j++) all[j] += more[j];
    p->a_outliers = guarded_new(p->g.m * outliers);
    for (size_t i = 0; i < p->g.m * outliers; i++)
        ((int8_t *)p->a_outliers.data)[i] = (int8_t)integer(kind, 127, false);
    p->g.outliers = outliers;
    p->g.a_outliers = p->a_outliers.data;
    p->g.b_outliers = p->b_outliers.data;
    guarded_free(&sums);
}

static guarded floats(size_t n) {
    guarded g = guarded_new(n * sizeof(float));
    fill_f32(g.data, n, FILL_NORMAL);
    return g;
}

static guarded make_a(size_t m, size_t k, size_t lda, int kind) {
    guarded g = guarded_new(m * lda);
    int8_t *a = g.data;
    for (size_t i = 0; i < m * lda; i++) a[i] = (int8_t)(i % lda < k ? integer(kind, 127, false) : 0);
    return g;
}

static product product_new(int bits, size_t m, size_t n, size_t k, int kind) {
    size_t pad = random_below(3);
    product p = {.g = {.m = m, .n = n, .k = k, .lda = rt_row_q(k), .ldr = n + pad, .ldc = n + 2 * pad}};
    p.a = make_a(m, k, p.g.lda, kind);
    p.a_scale = floats(2 * m);
    p.b_scale = floats(n);
    p.bias = floats(n);
    p.residual = floats(m * p.g.ldr);
    p.b_sum = guarded_new(n * sizeof(int32_t));
    if (bits == 4) {
        make_s4(&p, kind);
        make_outliers(&p, kind);
    } else {
        p.b = pack_random(k, n, kind, p.b_sum.data);
    }
    p.g.a = p.a.data;
    p.g.a_scale = p.a_scale.data;
    p.g.b = p.b.data;
    p.g.b_scale = p.b_scale.data;
    p.g.b_sum = p.b_sum.data;
    p.g.act = (rt_act)random_below(5);
    if (random_u32() & 1) p.g.bias = p.bias.data;
    if (random_u32() & 1) p.g.residual = p.residual.data;
    return p;
}

static void product_free(product *p) {
    guarded *all[] = {&p->a,          &p->a_scale, &p->a_outliers, &p->b,    &p->b_group,
                      &p->b_outliers, &p->b_scale, &p->b_sum,      &p->bias, &p->residual,
                      &p->scratch,    &p->c[0],    &p->c[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i]->map != NULL) guarded_free(all[i]);
    }
}

/* The residual may be C itself. */
static void run(product *p, rt_gemm_q_fn fn, int side, bool in_place) {
    rt_gemm_q g = p->g;
    p->c[side] = guarded_new(g.m * g.ldc * sizeof(float));
    g.c = p->c[side].data;
    for (size_t i = 0; in_place && i < g.m * g.ldc; i++) g.c[i] = (float)i * 0x1p-8f;
    if (in_place) g.residual = g.c;
    if (in_place) g.ldr = g.ldc;
    fn(&g);
}

static bool check_one(const kernel_row *row, int bits, size_t m, size_t n, size_t k, int kind, char *why,
                      size_t size) {
    product p = product_new(bits, m, n, k, kind);
    bool in_place = random_below(4) == 0;
    size_t where = 0;
    run(&p, (rt_gemm_q_fn)row->ref, 0, in_place);
    run(&p, (rt_gemm_q_fn)row->fn, 1, in_place);
    bool good = same_f32(&p.c[0], &p.c[1], &where);
    if (!good) {
        const float *want = p.c[0].map, *got = p.c[1].map;
        snprintf(
            why, size,
            "m %zu n %zu k %zu group %zu outliers %zu kind %d act %d: element %zu: expected %a, found %a", m,
            n, k, p.g.group, p.g.outliers, kind, (int)p.g.act, where, (double)want[where],
            (double)got[where]);
    }
    product_free(&p);
    return good;
}

static bool check_gemm(const kernel_row *row, int bits, char *why, size_t size) {
    static const size_t real[][3] = {{1, 768, 768}, {7, 384, 1536}, {16, 2, 768}, {13, 768, 3072},
                                     {33, 100, 72}, {70, 40, 64},   {0, 16, 16},  {3, 0, 5},
                                     {3, 5, 0},     {1, 1000, 1}};
    bool good = true;
    for (size_t m = 1; good && m <= 40; m++) {
        good = check_one(row, bits, m, 1 + random_below(70), 1 + random_below(200), ANY, why, size);
    }
    for (size_t n = 1; good && n <= 70; n++) {
        good = check_one(row, bits, 1 + random_below(33), n, 1 + random_below(200), ANY, why, size);
    }
    for (size_t k = 1; good && k <= 200; k++) {
        good =
            check_one(row, bits, 1 + random_below(33), 1 + random_below(70), k, (int)(k % KINDS), why, size);
    }
    for (size_t i = 0; good && i < sizeof real / sizeof *real; i++) {
        good = check_one(row, bits, real[i][0], real[i][1], real[i][2], (int)(i % KINDS), why, size);
    }
    return good;
}

bool check_gemm_s8(const kernel_row *row, char *why, size_t size) {
    return check_gemm(row, 8, why, size);
}
bool check_gemm_s4(const kernel_row *row, char *why, size_t size) {
    return check_gemm(row, 4, why, size);
}

/* The int8 panels of a product's codes, and that gemm_s8 computes the same with them. */
static bool check_widen(const kernel_row *row, size_t n, size_t k, char *why, size_t size) {
    product p = product_new(4, 3, n, k, (int)random_below(KINDS));
    guarded out[2];
    size_t bytes = 0, rows = rt_round_up(k, 8), where = 0;
    if (!rt_pack_count_s8(rows, n, &bytes)) return false;
    for (int side = 0; side < 2; side++) {
        out[side] = guarded_new(bytes);
        rt_widen widen = {k, n, p.g.b, p.g.b_group, p.g.group, out[side].data};
        ((rt_widen_fn)(side == 0 ? row->ref : row->fn))(&widen);
    }
    p.g.outliers = 0;
    run(&p, rt_gemm_s4_ref, 0, false);
    p.g.b = out[1].data;
    p.g.k = rows;
    run(&p, rt_gemm_s8_ref, 1, false);
    bool good = same_bytes(&out[0], &out[1]) && same_f32(&p.c[0], &p.c[1], &where);
    if (!good) snprintf(why, size, "n %zu k %zu group %zu", n, k, p.g.group);
    guarded_free(&out[0]);
    guarded_free(&out[1]);
    product_free(&p);
    return good;
}

bool check_widen_s4(const kernel_row *row, char *why, size_t size) {
    bool good = check_widen(row, 0, 8, why, size) && check_widen(row, 100, 768, why, size);
    for (size_t n = 1; good && n <= 70; n++) good = check_widen(row, n, 1 + random_below(200), why, size);
    for (size_t k = 1; good && k <= 200; k++) good = check_widen(row, 1 + random_below(70), k, why, size);
    return good;
}

bool check_quantize(const kernel_row *row, char *why, size_t size) {
    bool good = true;
    for (size_t n = 0; good && n < 200; n++) {
        size_t rows = random_below(5), ldx = n + random_below(3), ldq = rt_row_q(n) + 64 * random_below(2);
        guarded x = guarded_new(rows * ldx * sizeof(float)), q[2], scale[2];
        const float ranges[][2] = {{-0.17f, 3.0f}, {-40.0f, 0.5f}};
        guarded factor = floats(n), add = floats(n);
        rt_rows_q how = {.range = n % 3 == 0 ? ranges[n % 2] : NULL};
        if (n / 3 % 2 == 1) how.factor = factor.data;
        if (n / 3 % 2 == 1) how.add = add.data;
        fill_f32(x.data, rows * ldx, (int)(n % FILL_KINDS));
        for (int side = 0; side < 2; side++) {
            q[side] = guarded_new(rows * ldq);
            scale[side] = guarded_new(rows * sizeof(rt_row_scale));
            rt_quantize_fn fn = (rt_quantize_fn)(side == 0 ? row->ref : row->fn);
            fn(rows, n, x.data, ldx, &how, q[side].data, ldq, scale[side].data);
        }
        size_t where = 0;
        good = same_bytes(&q[0], &q[1]) && same_f32(&scale[0], &scale[1], &where);
        if (!good) snprintf(why, size, "%zu rows of %zu differ from ref", rows, n);
        guarded *all[] = {&x, &factor, &add, &q[0], &q[1], &scale[0], &scale[1]};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    }
    return good;
}
