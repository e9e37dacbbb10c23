/* SPDX-License-Identifier: Apache-2.0
 * The epilogue of float and bf16 products whose sums are in memory. */
#ifndef RT_KERNEL_VEC_FINISH_H
#define RT_KERNEL_VEC_FINISH_H

#include "kernel/vec/math.h"

/* Where column j, the first of a panel, begins in a row of C and of the residual. */
RT_VERB size_t c_column(const rt_gemm *g, size_t j) {
    return g->c_panel == 0 ? j : j / RT_PANEL * g->c_panel;
}

/* Epilogue for `rows` × `columns` elements at (i, j); sums [rows][ldo]. */
RT_VERB void finish_with(rt_act act, const rt_gemm *g, size_t i, size_t j, size_t rows, size_t columns,
                         const float *sums, size_t ldo) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c += RT_PANEL) {
            size_t at = j + c, n = columns - c, to = c_column(g, at);
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
    case RT_FN_SILU:
        finish_with(RT_FN_SILU, g, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_GELU_SHORT:
        finish_with(RT_FN_GELU_SHORT, g, i, j, rows, columns, sums, ldo);
        break;
    }
}

#endif
