/* SPDX-License-Identifier: Apache-2.0
 * The score of a key for a query (rt_attention), shared by attention and its backward pass. */
#ifndef RT_KERNEL_REF_SCORE_H
#define RT_KERNEL_REF_SCORE_H

#include "kernel/attention.h"
#include "kernel/ref/scalar.h"

/* The sum over d, ascending, of x and a column of a P16 table. */
static inline float ref_with_column(const rt_attention *at, const float *x, const float *table,
                                    int32_t column) {
    size_t c = (size_t)column;
    const float *panel = table + c / RT_PANEL * at->dim * RT_PANEL + c % RT_PANEL;
    float dot = 0.0f;
    for (size_t d = 0; d < at->dim; d++) dot = fmaf(x[d], panel[d * RT_PANEL], dot);
    return dot;
}

/* The score of key i for the query of this row, scaled. */
static inline float ref_score(const rt_attention *at, size_t row, size_t i) {
    const rt_relative *relative = at->relative;
    const float *q = at->q + row * at->ldq, *k = at->k + i * at->ldk;
    float dot = 0.0f;
    for (size_t d = 0; d < at->dim; d++) dot = fmaf(q[d], k[d], dot);
    if (relative == NULL) return dot * at->scale;
    ptrdiff_t distance = (ptrdiff_t)i - rt_attention_place(relative, row);
    if (relative->key != NULL) dot += ref_with_column(at, q, relative->key, relative->column[distance]);
    if (relative->query != NULL) dot += ref_with_column(at, k, relative->query, relative->column[distance]);
    return relative->bias != NULL ? fmaf(dot, at->scale, relative->bias[distance]) : dot * at->scale;
}

#endif
