/* SPDX-License-Identifier: Apache-2.0
 * Ends of the register tiles of floats and bf16: sums become C. */
#ifndef RT_KERNEL_VEC_TILE_FLOAT_H
#define RT_KERNEL_VEC_TILE_FLOAT_H

#include "kernel/vec/finish.h"
#include "kernel/vec/gemm.h"

typedef v16 tile_sums[V16_ROWS][V16_PANELS];

RT_VERB void begin(size_t rows, size_t panels, tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) sum[r][p] = v16_set(0.0f);
    }
}

RT_VERB void store_sums(size_t rows, size_t panels, float *out, size_t ldo, tile_sums sum) {
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) v16_store(out + r * ldo + p * RT_PANEL, sum[r][p]);
    }
}

/* The residual will have arrived when the sums are complete. */
RT_VERB void fetch_residual(size_t rows, size_t panels, const rt_gemm *g, size_t i, size_t j) {
    if (g->residual == NULL) return;
#pragma GCC unroll 6
    for (size_t r = 0; r < rows; r++) {
        const float *from = g->residual + (i + r) * g->ldr;
#pragma GCC unroll 4
        for (size_t p = 0; p < panels; p++) __builtin_prefetch(from + c_column(g, j + p * RT_PANEL));
    }
}

/* Writes C from registers. */
RT_VERB void finish_tile(size_t rows, size_t panels, rt_act act, const rt_gemm *g, size_t i, size_t j,
                         tile_sums sum) {
#pragma GCC unroll 4
    for (size_t p = 0; p < panels; p++, j += RT_PANEL) {
        size_t to = c_column(g, j);
        if (g->bias != NULL) {
            v16 bias = v16_load(g->bias + j);
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++) sum[r][p] = v16_add(sum[r][p], bias);
        }
        if (g->z != NULL) {
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++) v16_store(g->z + (i + r) * g->ldz + j, sum[r][p]);
        }
#pragma GCC unroll 6
        for (size_t r = 0; r < rows; r++) sum[r][p] = activate16(sum[r][p], act);
        if (g->residual != NULL) {
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++)
                sum[r][p] = v16_add(sum[r][p], v16_load(g->residual + (i + r) * g->ldr + to));
        }
        if (g->c != NULL) {
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++) v16_store(g->c + (i + r) * g->ldc + to, sum[r][p]);
        }
        if (g->c16 != NULL) {
#pragma GCC unroll 6
            for (size_t r = 0; r < rows; r++)
                v16_store_bf16_n(g->c16 + (i + r) * g->ldc16 + j, sum[r][p], RT_PANEL);
        }
    }
}

/* Sums become C: in registers where the columns are whole panels and the activation is a frequent one. */
RT_VERB void end(size_t rows, size_t panels, const rt_gemm *g, size_t i, size_t j, size_t columns,
                 tile_sums sum) {
    bool whole = columns == panels * RT_PANEL;
    if (whole && g->act == RT_FN_NONE) {
        finish_tile(rows, panels, RT_FN_NONE, g, i, j, sum);
    } else if (whole && g->act == RT_FN_GELU) {
        finish_tile(rows, panels, RT_FN_GELU, g, i, j, sum);
    } else if (whole && g->act == RT_FN_GELU_SHORT) {
        finish_tile(rows, panels, RT_FN_GELU_SHORT, g, i, j, sum);
    } else {
        _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
        store_sums(rows, panels, sums, panels * RT_PANEL, sum);
        finish(g, i, j, rows, columns, sums, panels * RT_PANEL);
    }
}

/* panel: bytes of a panel of B. */
RT_VERB tiling tiling_float(const rt_gemm *g, const rt_tile_set *tiles, size_t panel) {
    return (tiling){.product = g,
                    .m = g->m,
                    .n = g->n,
                    .k = g->k,
                    .b = g->b,
                    .panel = panel,
                    .first = tiles,
                    .rest = tiles};
}

#endif
