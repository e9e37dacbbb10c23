/* SPDX-License-Identifier: Apache-2.0
 * The loops around a register tile, and the epilogue after the sums. The same for every element type. */
#ifndef RT_KERNEL_VEC_GEMM_H
#define RT_KERNEL_VEC_GEMM_H

#include "base/memory.h"
#include "kernel/vec/math.h"

/* A register tile whose numbers of rows and panels are constants:
 * out[r][16 p + lane] = sum over k of a[r][k] * b[p][k][lane]. */
typedef void rt_tile(const void *a, size_t lda, const void *b, size_t k, float *out, size_t ldo);

/* tiles[panels - 1][rows - 1]; V16_TILES lists those that exist. */
typedef rt_tile *const rt_tile_set[V16_PANELS][V16_ROWS];

/* The float tiles, also used by attention. */
extern const rt_tile_set RT_ISA(tiles_f32);

/* Rows in block i of `blocks`, when m rows are split into the fewest blocks of at most V16_ROWS, as evenly as
 * possible (8 = 4 + 4, not 6 + 2). */
RT_VERB size_t block_count(size_t m) {
    return (m + V16_ROWS - 1) / V16_ROWS;
}
RT_VERB size_t block_rows(size_t m, size_t blocks, size_t i) {
    return m / blocks + (i < m % blocks);
}

/* Epilogue for `rows` × `columns` elements at (i, j); sums [rows][ldo]. */
RT_VERB void finish_with(rt_act act, const rt_gemm *g, size_t i, size_t j, size_t rows, size_t columns,
                         const float *sums, size_t ldo) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c += RT_PANEL) {
            size_t at = j + c, n = columns - c;
            v16 x = v16_load(sums + r * ldo + c);
            if (g->bias != NULL) x = v16_add(x, v16_load_n(g->bias + at, n));
            x = activate16(x, act);
            if (g->residual != NULL) x = v16_add(x, v16_load_n(g->residual + (i + r) * g->ldr + at, n));
            if (g->c != NULL) v16_store_n(g->c + (i + r) * g->ldc + at, x, n);
            if (g->c16 != NULL) v16_store_bf16_n(g->c16 + (i + r) * g->ldc16 + at, x, n);
        }
    }
}

static void finish(const rt_gemm *g, size_t i, size_t j, size_t rows, size_t columns, const float *sums,
                   size_t ldo) {
    switch (g->act) {
    case RT_FN_NONE:
        finish_with(RT_FN_NONE, g, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_GELU:
        finish_with(RT_FN_GELU, g, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_GELU_TANH:
        finish_with(RT_FN_GELU_TANH, g, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_RELU:
        finish_with(RT_FN_RELU, g, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_TANH:
        finish_with(RT_FN_TANH, g, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_GELU_SHORT:
        finish_with(RT_FN_GELU_SHORT, g, i, j, rows, columns, sums, ldo);
        break;
    }
}

/* b_sum / 128 for the first n of 16 columns: the sums of weights; exact, as they are below 2^24. */
RT_VERB v16 column_sums(const int32_t *b_sum, size_t n) {
    float bits[RT_PANEL];
    v16_store(bits, v16_load_n((const float *)(const void *)b_sum, n));
    return v16_mul(v16_load_s32(bits, NULL, RT_PANEL), v16_set(0x1p-7f));
}

/* Turns integer sums (int32 bits in the place of floats) into y = fma(t, b_scale, bias), see kernel.h.
 * biased: 128 was added to the rows of A. */
RT_VERB void scale_sums(const rt_gemm_q *q, bool biased, size_t i, size_t j, size_t rows, size_t columns,
                        float *sums, size_t ldo) {
    for (size_t c = 0; c < columns; c += RT_PANEL) {
        size_t at = j + c, n = columns - c;
        v16 factor = v16_load_n(q->b_scale + at, n);
        v16 weights = column_sums(q->b_sum + at, n);
        v16 bias = q->bias != NULL ? v16_load_n(q->bias + at, n) : v16_set(0.0f);
        for (size_t r = 0; r < rows; r++) {
            float *sum = sums + r * ldo + c;
            v16 t = v16_load_s32(sum, biased ? q->b_sum + at : NULL, n);
            t = v16_mul(t, v16_set(q->a_scale[i + r].scale));
            t = v16_fma(v16_set(q->a_scale[i + r].shift), weights, t);
            v16_store(sum, v16_fma(t, factor, bias));
        }
    }
}

/* 16 integers at any address, also in the place of floats (gcc and clang compile it for any ISA). */
typedef int32_t ints16 __attribute__((vector_size(64), aligned(4), may_alias));

/* sums[rows][ldo] += more, both int32 bits in the place of floats */
RT_VERB void add_integers(size_t rows, size_t panels, const float *more, float *sums, size_t ldo) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t p = 0; p < panels; p++) {
            size_t at = r * ldo + p * RT_PANEL;
            *(ints16 *)(void *)(sums + at) += *(const ints16 *)(const void *)(more + at);
        }
    }
}

/* Called with the sums of `rows` × `columns` elements at (i, j) before `finish`; may be NULL. */
typedef void between_fn(const rt_gemm_q *q, size_t i, size_t j, size_t rows, size_t columns, float *sums,
                        size_t ldo);

/* All rows times the panels of the columns from j on; b: these panels as the tiles take them. q: for integer
 * products. */
RT_VERB void gemm_rows(const rt_gemm *g, const rt_tile_set tiles, size_t a_size, size_t j, size_t columns,
                       const void *b, const rt_gemm_q *q, between_fn *between) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
    size_t blocks = block_count(g->m), panels = (columns + RT_PANEL - 1) / RT_PANEL;
    for (size_t block = 0, i = 0; block < blocks; block++) {
        size_t rows = block_rows(g->m, blocks, block);
        const char *a = (const char *)g->a + i * g->lda * a_size;
        tiles[panels - 1][rows - 1](a, g->lda, b, g->k, sums, panels * RT_PANEL);
        if (between != NULL) between(q, i, j, rows, columns, sums, panels * RT_PANEL);
        finish(g, i, j, rows, columns, sums, panels * RT_PANEL);
        i += rows;
    }
}

/* Columns per block. */
RT_VERB size_t gemm_columns(const rt_gemm *g) {
    return v16_panels(block_rows(g->m, block_count(g->m), 0)) * RT_PANEL;
}

/* Outer loop over panels, inner loop over rows: the current panels stay in L2. a_size: bytes of an element of
 * A; panel: bytes of a panel of B. */
RT_VERB void gemm_with(const rt_gemm *g, const rt_tile_set tiles, size_t a_size, size_t panel,
                       const rt_gemm_q *q, between_fn *between) {
    if (g->m == 0 || g->n == 0) return;
    size_t wide = gemm_columns(g);
    for (size_t j = 0; j < g->n; j += wide) {
        const char *b = (const char *)g->b + j / RT_PANEL * panel;
        gemm_rows(g, tiles, a_size, j, rt_min(wide, g->n - j), b, q, between);
    }
}

/* sums[rows][ldo] += integer products of A's outlier columns; `tiles` are those of 8-bit weights. */
RT_VERB void add_outliers(const rt_gemm_q *q, const rt_tile_set tiles, size_t i, size_t j, size_t rows,
                          size_t columns, float *sums, size_t ldo) {
    _Alignas(64) float more[V16_ROWS * V16_PANELS * RT_PANEL];
    size_t panels = (columns + RT_PANEL - 1) / RT_PANEL;
    if (q->outliers == 0) return;
    tiles[panels - 1][rows - 1](q->a_outliers + i * q->outliers, q->outliers, q->b_outliers + j * q->outliers,
                                q->outliers, more, ldo);
    add_integers(rows, panels, more, sums, ldo);
}

/* The epilogue of integer sums is that of float sums; the bias is already included. */
RT_VERB rt_gemm gemm_view(const rt_gemm_q *q, size_t step) {
    return (rt_gemm){.m = q->m,
                     .n = q->n,
                     .k = rt_round_up(q->k, step),
                     .a = q->a,
                     .lda = q->lda,
                     .b = q->b,
                     .residual = q->residual,
                     .ldr = q->ldr,
                     .act = q->act == RT_FN_GELU ? RT_FN_GELU_SHORT : q->act,
                     .c = q->c,
                     .ldc = q->ldc};
}

#endif
