/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/rows.h"
#include "kernel/vec/vec.h"

#include <math.h>

enum { TOGETHER = 4 }; /* rows: one row's sum is a chain of additions that leaves most of the adder idle */

/* mean[rows] of x[rows][n] */
RT_VERB void means(size_t rows, const rt_norm_args *norm, const float *x, float *mean) {
    v16 sum[TOGETHER];
    for (size_t r = 0; r < rows; r++) sum[r] = v16_set(0.0f);
    for (size_t i = 0; i < norm->n; i += 16) {
        for (size_t r = 0; r < rows; r++)
            sum[r] = v16_add(sum[r], v16_load_n(x + r * norm->ldx + i, norm->n - i));
    }
    for (size_t r = 0; r < rows; r++) mean[r] = v16_sum(sum[r]) / (float)norm->n;
}

/* inverse[rows] = 1 / sqrt(variance + epsilon) */
RT_VERB void inverses(size_t rows, const rt_norm_args *norm, const float *x, const float *mean,
                      float *inverse) {
    v16 sum[TOGETHER];
    for (size_t r = 0; r < rows; r++) sum[r] = v16_set(0.0f);
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        for (size_t r = 0; r < rows; r++) {
            v16 d = v16_sub(v16_load_n(x + r * norm->ldx + i, n), v16_set(mean[r]));
            if (n < 16) d = v16_first(n, d, v16_set(0.0f));
            sum[r] = v16_fma(d, d, sum[r]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        inverse[r] = 1.0f / sqrtf(v16_sum(sum[r]) / (float)norm->n + norm->epsilon);
}

/* Rows row…row+rows-1; `rows` is a constant where this is used. */
RT_VERB void norm_rows(size_t rows, const rt_norm_args *norm, size_t row) {
    const float *x = norm->x + row * norm->ldx;
    float mean[TOGETHER], inverse[TOGETHER];
    means(rows, norm, x, mean);
    inverses(rows, norm, x, mean, inverse);
    for (size_t i = 0; i < norm->n; i += 16) {
        size_t n = norm->n - i;
        v16 gamma = v16_load_n(norm->gamma + i, n), beta = v16_load_n(norm->beta + i, n);
        for (size_t r = 0; r < rows; r++) {
            v16 y = v16_sub(v16_load_n(x + r * norm->ldx + i, n), v16_set(mean[r]));
            y = v16_fma(v16_mul(y, v16_set(inverse[r])), gamma, beta);
            if (norm->y != NULL) v16_store_n(norm->y + (row + r) * norm->ldy + i, y, n);
            if (norm->y16 != NULL) v16_store_bf16_n(norm->y16 + (row + r) * norm->ldy16 + i, y, n);
        }
    }
}

void RT_ISA(layer_norm)(const rt_norm_args *norm) {
    size_t r = 0;
    for (; r + TOGETHER <= norm->rows; r += TOGETHER) norm_rows(TOGETHER, norm, r);
    for (; r < norm->rows; r++) norm_rows(1, norm, r);
}

void RT_ISA(embed)(const rt_embed_args *embed) {
    rt_norm_args norm = embed->norm;
    for (size_t r = 0; r < norm.rows; r++) {
        const float *word = embed->word + (size_t)embed->ids[r] * norm.n;
        const float *position = embed->position + (size_t)embed->positions[r] * norm.n;
        const float *type = embed->type == NULL ? NULL : embed->type + (size_t)embed->types[r] * norm.n;
        for (size_t i = 0; i < norm.n; i += 16) {
            size_t n = norm.n - i;
            v16 x = v16_add(v16_load_n(word + i, n), v16_load_n(position + i, n));
            if (type != NULL) x = v16_add(x, v16_load_n(type + i, n));
            v16_store_n(norm.y + r * norm.ldy + i, x, n);
        }
    }
    norm.x = norm.y;
    norm.ldx = norm.ldy;
    RT_ISA(layer_norm)(&norm);
}
