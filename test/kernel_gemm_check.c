/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "kernel_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* One product with all its buffers; [0] is written by ref, [1] by the kernel. */
typedef struct product {
    rt_gemm g;
    bool half; /* A and B are bf16 */
    guarded a, b, bias, residual, c[2], c16[2], z[2],
        size; /* size: sum |a b|, [m][n], for rows with a bound */
} product;

static guarded matrix(size_t rows, size_t ld, size_t columns, size_t element) {
    return guarded_new(rows > 0 ? ((rows - 1) * ld + columns) * element : 0);
}

static void fill(guarded *g, bool half, int kind) {
    if (half)
        fill_bf16(g->data, g->bytes / 2, kind);
    else
        fill_f32(g->data, g->bytes / 4, kind);
}

/* B packed from a plain matrix, so that the padding is what the packer writes. */
static void make_b(product *p, int kind) {
    size_t k = p->g.k, n = p->g.n, count = 0;
    guarded plain = guarded_new(k * n * sizeof(float));
    fill_f32(plain.data, k * n, kind);
    if (p->half) {
        rt_pack_count_bf16(k, n, &count);
        p->b = guarded_new(count * 2);
        rt_pack_bf16(k, n, plain.data, n, 1, p->b.data);
    } else {
        rt_pack_count_f32(k, n, &count);
        p->b = guarded_new(count * 4);
        rt_pack_f32(k, n, plain.data, n, 1, p->b.data);
    }
    guarded_free(&plain);
}

static product product_new(bool half, size_t m, size_t n, size_t k, int kind) {
    size_t pad = random_below(3);
    product p = {.half = half,
                 .g = {.m = m, .n = n, .k = k, .lda = k + pad, .ldr = n + pad, .ldc = n + 2 * pad}};
    p.g.ldc16 = p.g.ldz = n + pad;
    p.a = matrix(m, p.g.lda, k, half ? 2 : 4);
    fill(&p.a, half, kind);
    make_b(&p, kind);
    p.bias = guarded_new(n * 4);
    p.residual = matrix(m, p.g.ldr, n, 4);
    fill(&p.bias, false, kind);
    fill(&p.residual, false, kind);
    for (int i = 0; i < 2; i++) {
        p.c[i] = matrix(m, p.g.ldc, n, 4);
        p.c16[i] = matrix(m, p.g.ldc16, n, 2);
        p.z[i] = matrix(m, p.g.ldz, n, 4);
    }
    p.size = guarded_new(m * n * 4);
    p.g.a = p.a.data;
    p.g.b = p.b.data;
    p.g.act = (rt_act)random_below(RT_FN_GELU_SHORT + 1);
    if (random_u32() & 1) p.g.bias = p.bias.data;
    if (random_u32() & 1) p.g.residual = p.residual.data;
    return p;
}

static void product_free(product *p) {
    guarded *all[] = {&p->a,      &p->b,      &p->bias, &p->residual, &p->c[0], &p->c[1],
                      &p->c16[0], &p->c16[1], &p->z[0], &p->z[1],     &p->size};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
}

/* Runs into the outputs number `side`; `outputs` bit 0: float, bit 1: bf16, bit 2: the residual
 * is C itself, bit 3: the sums before the activation. */
static void run(product *p, rt_gemm_fn fn, int side, int outputs) {
    rt_gemm g = p->g;
    if (outputs & 1) g.c = p->c[side].data;
    if (outputs & 2) g.c16 = p->c16[side].data;
    if (outputs & 8) g.z = p->z[side].data;
    if (outputs == 5) {
        fill_f32(p->c[side].data, p->c[side].bytes / 4, FILL_ZERO);
        for (size_t i = 0; i < p->c[side].bytes / 4; i++) g.c[i] = (float)i * 0x1p-8f;
        g.residual = g.c;
        g.ldr = g.ldc;
    }
    fn(&g);
}

/* sum |a b| of every element */
static void measure(product *p, rt_gemm_fn ref) {
    uint16_t *a = p->a.data, *b = p->b.data;
    for (size_t i = 0; i < p->a.bytes / 2; i++) a[i] &= 0x7fff;
    for (size_t i = 0; i < p->b.bytes / 2; i++) b[i] &= 0x7fff;
    ref(&(rt_gemm){.m = p->g.m,
                   .n = p->g.n,
                   .k = p->g.k,
                   .a = a,
                   .lda = p->g.lda,
                   .b = b,
                   .c = p->size.data,
                   .ldc = p->g.n});
}

/* 1.2: the steepest slope of an activation is 1.13 (GELU). The rest is the rounding of bias,
 * residual, bf16. */
static bool near(float want, float got, float allowed, float rounding) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) return want == got;
    return fabsf(want - got) <= 1.2f * allowed + rounding * fabsf(want) + 0x1p-110f;
}

static bool within_bound(const product *p, int outputs, float bound, size_t *where) {
    const float *size = p->size.data, *want = p->c[0].data, *got = p->c[1].data;
    const float *want_z = p->z[0].data, *got_z = p->z[1].data;
    const uint16_t *want16 = p->c16[0].data, *got16 = p->c16[1].data;
    for (size_t i = 0; i < p->g.m; i++) {
        for (size_t j = 0; j < p->g.n; j++) {
            float allowed =
                bound * (size[i * p->g.n + j] + 1.0f); /* + 1: bias and residual, which are below it */
            size_t at = i * p->g.ldc + j, at16 = i * p->g.ldc16 + j;
            size_t at_z = i * p->g.ldz + j;
            *where = at;
            if ((outputs & 8) && !near(want_z[at_z], got_z[at_z], allowed, 0x1p-22f)) return false;
            if ((outputs & 1) && !near(want[at], got[at], allowed, 0x1p-22f)) return false;
            if (!(outputs & 2)) continue;
            if (!near(rt_bf16_to_f32(want16[at16]), rt_bf16_to_f32(got16[at16]), allowed, 0x1p-7f))
                return false;
        }
    }
    return true;
}

static bool check_one(const kernel_row *row, bool half, size_t m, size_t n, size_t k, int kind, char *why,
                      size_t size) {
    product p = product_new(half, m, n, k, kind);
    static const int choices[] = {1, 1, 2, 3, 5, 9, 10};
    int outputs = choices[random_below(7)];
    size_t where = 0, where16 = 0;
    run(&p, (rt_gemm_fn)row->ref, 0, outputs);
    run(&p, (rt_gemm_fn)row->fn, 1, outputs);
    bool good;
    if (row->bound > 0) {
        measure(&p, (rt_gemm_fn)row->ref);
        good = within_bound(&p, outputs, row->bound, &where);
    } else {
        good = same_f32(&p.c[0], &p.c[1], &where) && same_bf16(&p.c16[0], &p.c16[1], &where16) &&
               same_f32(&p.z[0], &p.z[1], &where16);
    }
    if (!good) {
        const float *want = row->bound > 0 ? p.c[0].data : p.c[0].map,
                    *got = row->bound > 0 ? p.c[1].data : p.c[1].map;
        snprintf(why, size,
                 "m %zu n %zu k %zu act %d outputs %d kind %d: element %zu/%zu: expected %a, found %a", m, n,
                 k, (int)p.g.act, outputs, kind, where, where16, outputs & 1 ? (double)want[where] : 0.0,
                 outputs & 1 ? (double)got[where] : 0.0);
    }
    product_free(&p);
    return good;
}

/* C and the residual, which is C itself, in panels: the same numbers as in rows. */
static bool check_panels(const kernel_row *row, bool half, size_t m, size_t n, size_t k, char *why,
                         size_t size) {
    product p = product_new(half, m, n, k, FILL_NORMAL);
    size_t panel = m * RT_PANEL;
    guarded c = guarded_new((n + RT_PANEL - 1) / RT_PANEL * panel * sizeof(float));
    float *panels = c.data, *rows = p.c[0].data;
    p.g.bias = p.g.residual = NULL;
    p.g.act = RT_FN_NONE;
    fill_f32(panels, c.bytes / sizeof *panels, FILL_NORMAL);
    for (size_t i = 0; i < m * n; i++)
        rows[i / n * p.g.ldc + i % n] =
            panels[i % n / RT_PANEL * panel + i / n * RT_PANEL + i % n % RT_PANEL];
    rt_gemm g = p.g;
    g.c = rows;
    g.residual = rows;
    g.ldr = g.ldc;
    ((rt_gemm_fn)row->fn)(&g);
    g.c = panels;
    g.residual = panels;
    g.ldc = g.ldr = RT_PANEL;
    g.c_panel = panel;
    ((rt_gemm_fn)row->fn)(&g);
    bool good = true;
    for (size_t i = 0; good && i < m * n; i++) {
        good = rows[i / n * p.g.ldc + i % n] ==
               panels[i % n / RT_PANEL * panel + i / n * RT_PANEL + i % n % RT_PANEL];
    }
    if (!good) snprintf(why, size, "m %zu n %zu k %zu: in panels, C differs", m, n, k);
    guarded_free(&c);
    product_free(&p);
    return good;
}

static bool check_gemm(const kernel_row *row, bool half, char *why, size_t size) {
    static const size_t real[][3] = {{1, 768, 768},  {7, 384, 1536}, {16, 2, 768}, {13, 768, 3072},
                                     {8, 2304, 768}, {0, 16, 16},    {3, 0, 5},    {5, 17, 0},
                                     {70, 40, 64},   {1, 1000, 1}};
    bool good = true;
    for (size_t m = 1; good && m <= 40; m++) {
        good = check_one(row, half, m, 1 + random_below(70), 1 + random_below(130), FILL_NORMAL, why, size);
    }
    for (size_t n = 1; good && n <= 70; n++) {
        good = check_one(row, half, 1 + random_below(33), n, 1 + random_below(130), FILL_NORMAL, why, size);
    }
    for (size_t k = 1; good && k <= 130; k++) {
        good = check_one(row, half, 1 + random_below(33), 1 + random_below(70), k, FILL_NORMAL, why, size);
    }
    for (size_t i = 0; good && i < sizeof real / sizeof *real; i++) {
        good = check_one(row, half, real[i][0], real[i][1], real[i][2], FILL_NORMAL, why, size);
    }
    for (size_t i = 0; good && i < 40; i++) {
        size_t m = 1 + random_below(40), n = 1 + random_below(150), k = 1 + random_below(70);
        good = check_panels(row, half, m, n, k, why, size);
    }
    /* The bound speaks of finite sums of normal size; with EXACT there is nothing to exempt. */
    for (size_t i = 0; good && row->bound == 0 && i < 100; i++) {
        size_t m = 1 + random_below(20), n = 1 + random_below(70), k = i & 1 ? 1 : 1 + random_below(40);
        good = check_one(row, half, m, n, k, (int)(i % FILL_KINDS), why, size);
    }
    return good;
}

bool check_gemm_f32(const kernel_row *row, char *why, size_t size) {
    return check_gemm(row, false, why, size);
}
bool check_gemm_bf16(const kernel_row *row, char *why, size_t size) {
    return check_gemm(row, true, why, size);
}
