/* SPDX-License-Identifier: Apache-2.0
 * Gram matrices x^T x, for second moments. */
#ifndef RT_QUANT_GRAM_H
#define RT_QUANT_GRAM_H

#include "kernel/kernel.h"

enum { RT_GRAM_COLUMNS = 64 /* of x^T x at a time */ };

/* Work space; grows. Start with {0}. */
typedef struct rt_gram {
    float *across, *packed; /* x [rows, n] transposed, and packed */
    size_t size;            /* floats in each */
    size_t rows, n;         /* of x */
} rt_gram;
void rt_gram_free(rt_gram *gram);
/* Prepares x [rows, n] for the products. False: out of memory. */
bool rt_gram_set(rt_gram *gram, size_t rows, size_t n, const float *x);
/* product [n - from, 64] = rows from… of columns from…from+64 of x^T x, summed in floats. */
void rt_gram_product(const rt_gram *gram, const rt_kernels *kernels, size_t from, float *product);

#endif
