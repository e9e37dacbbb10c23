/* SPDX-License-Identifier: Apache-2.0
 * The Cholesky factorisation, in doubles. */
#ifndef RT_QUANT_CHOLESKY_H
#define RT_QUANT_CHOLESKY_H

#include <stdbool.h>
#include <stddef.h>

/* Factors a [n, n] = L L^T in place, reading the lower triangle. scratch: [RT_CHOLESKY_ROWS, n]. False: not
 * positive definite. */
enum { RT_CHOLESKY_ROWS = 64 };
bool rt_cholesky(size_t n, double *a, double *scratch);

#endif
