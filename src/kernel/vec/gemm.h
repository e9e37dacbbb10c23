/* SPDX-License-Identifier: Apache-2.0
 * The loops around a register tile of floats or bf16, and the epilogue after the sums. */
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
            size_t at = j + c, n = columns - c, to = g->c_panel == 0 ? at : at / RT_PANEL * g->c_panel;
            v16 x = v16_load(sums + r * ldo + c);
            if (g->bias != NULL) x = v16_add(x, v16_load_n(g->bias + at, n));
            if (g->z != NULL) v16_store_n(g->z + (i + r) * g->ldz + at, x, n);
            x = activate16(x, act);
            if (g->residual != NULL) x = v16_add(x, v16_load_n(g->residual + (i + r) * g->ldr + to, n));
            if (g->c != NULL) v16_store_n(g->c + (i + r) * g->ldc + to, x, n);
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

/* All rows times the panels of the columns from j on; b: these panels as the tiles take them. */
RT_VERB void gemm_rows(const rt_gemm *g, const rt_tile_set tiles, size_t a_size, size_t j, size_t columns,
                       const void *b) {
    _Alignas(64) float sums[V16_ROWS * V16_PANELS * RT_PANEL];
    size_t blocks = block_count(g->m), panels = (columns + RT_PANEL - 1) / RT_PANEL;
    for (size_t block = 0, i = 0; block < blocks; block++) {
        size_t rows = block_rows(g->m, blocks, block);
        const char *a = (const char *)g->a + i * g->lda * a_size;
        tiles[panels - 1][rows - 1](a, g->lda, b, g->k, sums, panels * RT_PANEL);
        finish(g, i, j, rows, columns, sums, panels * RT_PANEL);
        i += rows;
    }
}

/* Columns of a register tile. */
RT_VERB size_t tile_columns(size_t m) {
    return v16_panels(block_rows(m, block_count(m), 0)) * RT_PANEL;
}

/* Outer loop over panels, inner loop over rows: the current panels stay in L2. a_size: bytes of an element of
 * A; panel: bytes of a panel of B. */
RT_VERB void gemm_with(const rt_gemm *g, const rt_tile_set tiles, size_t a_size, size_t panel) {
    if (g->m == 0 || g->n == 0) return;
    size_t wide = tile_columns(g->m);
    for (size_t j = 0; j < g->n; j += wide) {
        const char *b = (const char *)g->b + j / RT_PANEL * panel;
        gemm_rows(g, tiles, a_size, j, rt_min(wide, g->n - j), b);
    }
}

#endif
