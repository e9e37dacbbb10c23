/* SPDX-License-Identifier: Apache-2.0
 * The epilogue that turns the sums of integer products into floats. The same for every instruction and weight type. */
#ifndef RT_KERNEL_VEC_GEMM_Q_H
#define RT_KERNEL_VEC_GEMM_Q_H

#include "kernel/vec/gemm.h"

/* The constants of 16 columns. */
typedef struct columns16 {
    v16 scale, weights, bias; /* weights: the sums of each column's weights */
} columns16;

/* b_sum / 128 for the first n of 16 columns; exact, as they are below 2^24. */
RT_VERB v16 column_sums(const int32_t *b_sum, size_t n) {
    float bits[RT_PANEL];
    const float *at = (const float *)(const void *)b_sum;
    if (n < RT_PANEL) v16_store(bits, v16_load_n(at, n));
    return v16_mul(v16_load_s32(n < RT_PANEL ? bits : at), v16_set(0x1p-7f));
}

RT_VERB columns16 columns_at(const rt_gemm_q *q, size_t j, size_t n) {
    return (columns16){.scale = v16_load_n(q->b_scale + j, n),
                       .weights = column_sums(q->b_sum + j, n),
                       .bias = q->bias != NULL ? v16_load_n(q->bias + j, n) : v16_set(0.0f)};
}

/* Integer sums of row i, as floats, scaled, biased and activated (kernel.h, "Integers"). */
RT_VERB v16 scaled16(rt_act act, const rt_gemm_q *q, const columns16 *columns, size_t i, v16 sum) {
    v16 t = v16_mul(sum, v16_set(q->a_scale[i].scale));
    t = v16_fma(v16_set(q->a_scale[i].shift), columns->weights, t);
    return activate16(v16_fma(t, columns->scale, columns->bias), act);
}

/* The same for `rows` x `columns` sums in memory [rows][ldo], int32 bits in the place of floats. */
RT_VERB void finish_sums_with(rt_act act, const rt_gemm_q *q, size_t i, size_t j, size_t rows, size_t columns,
                              const float *sums, size_t ldo) {
    for (size_t c = 0; c < columns; c += RT_PANEL) {
        size_t n = columns - c;
        columns16 at = columns_at(q, j + c, n);
        for (size_t r = 0; r < rows; r++) {
            v16 y = scaled16(act, q, &at, i + r, v16_load_s32(sums + r * ldo + c));
            if (q->residual != NULL) y = v16_add(y, v16_load_n(q->residual + (i + r) * q->ldr + j + c, n));
            v16_store_n(q->c + (i + r) * q->ldc + j + c, y, n);
        }
    }
}

static void finish_sums(const rt_gemm_q *q, size_t i, size_t j, size_t rows, size_t columns,
                        const float *sums, size_t ldo) {
    switch (q->act) {
    case RT_FN_NONE:
        finish_sums_with(RT_FN_NONE, q, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_GELU:
    case RT_FN_GELU_SHORT:
        finish_sums_with(RT_FN_GELU_SHORT, q, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_GELU_TANH:
        finish_sums_with(RT_FN_GELU_TANH, q, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_RELU:
        finish_sums_with(RT_FN_RELU, q, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_SILU:
        finish_sums_with(RT_FN_SILU, q, i, j, rows, columns, sums, ldo);
        break;
    case RT_FN_TANH:
        finish_sums_with(RT_FN_TANH, q, i, j, rows, columns, sums, ldo);
        break;
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

/* A product of 8-bit weights, or of codes, by such tiles; k: rows of a panel. */
RT_VERB tiling tiling_q(const rt_gemm_q *q, const rt_tile_set *first, const rt_tile_set *rest, size_t k) {
    return (tiling){.product = q,
                    .m = q->m,
                    .n = q->n,
                    .k = k,
                    .b = q->b,
                    .panel = k * RT_PANEL,
                    .first = first,
                    .rest = rest};
}

enum { FEW_ROWS_Q = 16 }; /* see multiply_all */

#endif
