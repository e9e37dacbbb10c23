/* SPDX-License-Identifier: Apache-2.0
 * The register tiles of 8-bit weights, over the verbs of RT_DOT_HEADER (listed in vec/dot.h). */
#ifndef RT_KERNEL_VEC_TILE_S8_H
#define RT_KERNEL_VEC_TILE_S8_H

#include "kernel/vec/dot.h"
#include "kernel/vec/gemm_q.h"

typedef s16 tile_sums[V16_ROWS][V16_PANELS];

/* Into L2. */
RT_VERB void prefetch(const void *p) {
    __builtin_prefetch(p, 0, 2);
}

/* sum[r][p] += four elements of a[r] * column[p] */
RT_VERB void step(size_t rows, size_t panels, const int8_t *a, size_t lda, const w64 *column, tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        a4 x = a4_load(a + r * lda);
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = s16_dot(sum[r][p], x, column[p]);
    }
}

/* The sums before the first product. */
RT_VERB void begin(size_t rows, size_t panels, const rt_gemm_q *q, size_t j, size_t columns, tile_sums sum) {
#pragma GCC unroll 4
    for (size_t p = 0; p < panels; p++) {
        s16 start = s16_start(q->b_sum + j + p * RT_PANEL, columns - p * RT_PANEL);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) sum[r][p] = start;
    }
}

/* The residual will have arrived when the sums are complete. (Zen 4, n 768, k 768, 384 rows: 84 % of the peak, 80
 * without.) */
RT_VERB void fetch_residual(size_t rows, size_t panels, const rt_gemm_q *q, size_t i, size_t j) {
    if (q->residual == NULL) return;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        const float *from = q->residual + (i + r) * q->ldr + j;
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) __builtin_prefetch(from + p * RT_PANEL);
    }
}

/* sum += products over k rows, a multiple of 4; `ahead`: prefetches the panels after these */
RT_VERB void add_products(size_t rows, size_t panels, bool ahead, const int8_t *a, size_t lda,
                          const int8_t *b, size_t k, tile_sums sum) {
    for (size_t i = 0; i < k; i += 4) {
        w64 column[V16_PANELS];
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) {
            const int8_t *from = b + (p * k + i) * RT_PANEL;
            if (ahead) prefetch(from + panels * k * RT_PANEL);
            column[p] = w64_load(from);
        }
        step(rows, panels, a + i, lda, column, sum);
    }
}

RT_VERB void add_outliers(size_t rows, size_t panels, const rt_gemm_q *q, size_t i, size_t j, tile_sums sum) {
    add_products(rows, panels, false, q->a_outliers + i * q->outliers, q->outliers,
                 q->b_outliers + j * q->outliers, q->outliers, sum);
}

RT_VERB void store_sums(size_t rows, size_t panels, float *out, tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) s16_store(out + (r * panels + p) * RT_PANEL, sum[r][p]);
    }
}

/* Writes C from registers. */
RT_VERB void finish_tile(size_t rows, size_t panels, rt_act act, bool residual, const rt_gemm_q *q, size_t i,
                         size_t j, tile_sums sum) {
#pragma GCC unroll 4
    for (size_t p = 0; p < panels; p++, j += RT_PANEL) {
        columns16 at = columns_at(q, j, RT_PANEL);
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) {
            v16 y = scaled16(act, q, &at, i + r, s16_float(sum[r][p]));
            if (residual) y = v16_add(y, v16_load(q->residual + (i + r) * q->ldr + j));
            v16_store(q->c + (i + r) * q->ldc + j, y);
        }
    }
}

/* Sums become C: in registers where the columns are whole panels and the activation is a frequent one. */
RT_VERB void end(size_t rows, size_t panels, const rt_gemm_q *q, size_t i, size_t j, size_t columns,
                 tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) S16_KEEP(sum[r][p]);
    }
    bool whole = columns == panels * RT_PANEL, plain = q->residual == NULL;
    if (whole && q->act == RT_FN_NONE && !plain) {
        finish_tile(rows, panels, RT_FN_NONE, true, q, i, j, sum);
    } else if (whole && q->act == RT_FN_NONE) {
        finish_tile(rows, panels, RT_FN_NONE, false, q, i, j, sum);
    } else if (whole && q->act == RT_FN_GELU && plain) {
        finish_tile(rows, panels, RT_FN_GELU_SHORT, false, q, i, j, sum);
    } else {
        _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
        store_sums(rows, panels, sums, sum);
        finish_sums(q, i, j, rows, columns, sums, panels * RT_PANEL);
    }
}

/* A tile of panels of 8 bits. Tiles of the `first` rows prefetch the next panels (42 MB of weights on Zen 4, 8 rows: 257
 * GOP/s instead of 225). For other rows the panels are in L2, and prefetching would only cost time (2 %). */
RT_TILE_BODY void tile_s8(size_t rows, size_t panels, bool first, bool outliers, const rt_gemm_q *q,
                          const int8_t *b, size_t k, size_t i, size_t j, size_t columns) {
    tile_sums sum;
    begin(rows, panels, q, j, columns, sum);
    fetch_residual(rows, panels, q, i, j);
    add_products(rows, panels, first, q->a + i * q->lda, q->lda, b, k, sum);
    if (outliers && q->outliers > 0) add_outliers(rows, panels, q, i, j, sum);
    end(rows, panels, q, i, j, columns, sum);
}

#endif
