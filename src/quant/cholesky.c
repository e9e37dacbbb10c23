/* SPDX-License-Identifier: Apache-2.0
 * The Cholesky factor of a symmetric matrix in doubles, in blocks of columns. n^3 / 3 operations: 10 billion
 * for the widest matrix of a base model. */
#include "quant/cholesky.h"
#include "base/size.h"

#include <math.h>

enum { BLOCK = RT_CHOLESKY_ROWS, TILE = 4 };

/* Columns from…to of rows from…to, after the earlier columns have been subtracted. */
static bool factor_corner(size_t n, double *a, size_t from, size_t to) {
    for (size_t j = from; j < to; j++) {
        double sum = a[j * n + j];
        for (size_t k = from; k < j; k++) sum -= a[j * n + k] * a[j * n + k];
        if (!(sum > 0) || !isfinite(sum)) return false;
        double root = sqrt(sum);
        a[j * n + j] = root;
        for (size_t i = j + 1; i < to; i++) {
            double value = a[i * n + j];
            for (size_t k = from; k < j; k++) value -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = value / root;
        }
    }
    return true;
}

/* The same columns of a lower row. */
static void solve_row(size_t n, const double *a, double *row, size_t from, size_t to) {
    for (size_t j = from; j < to; j++) {
        double value = row[j];
        for (size_t k = from; k < j; k++) value -= row[k] * a[j * n + k];
        row[j] = value / a[j * n + j];
    }
}

/* Four rows by four columns of the remainder -= the product over `count` columns; columns: [count, n]. */
static void subtract_tile(size_t n, double *a, size_t i, size_t j, size_t from, size_t count,
                          const double *columns) {
    double sum[TILE][TILE] = {{0}};
    for (size_t k = 0; k < count; k++) {
        const double *b = columns + k * n + j;
        for (size_t r = 0; r < TILE; r++) {
            double x = a[(i + r) * n + from + k];
            for (size_t c = 0; c < TILE; c++) sum[r][c] += x * b[c];
        }
    }
    for (size_t r = 0; r < TILE; r++) {
        for (size_t c = 0; c < TILE; c++) a[(i + r) * n + j + c] -= sum[r][c];
    }
}

static void subtract_one(size_t n, double *a, size_t i, size_t j, size_t from, size_t to) {
    double sum = 0;
    for (size_t k = from; k < to; k++) sum += a[i * n + k] * a[j * n + k];
    a[i * n + j] -= sum;
}

/* Subtracts the product of the finished columns from…to from the rest of the triangle. */
static void subtract_block(size_t n, double *a, size_t from, size_t to, double *columns) {
    size_t tiled = n - (n - to) % TILE;
    for (size_t j = to; j < n; j++) {
        for (size_t k = from; k < to; k++) columns[(k - from) * n + j] = a[j * n + k];
    }
    for (size_t i = to; i < tiled; i += TILE) {
        for (size_t j = to; j <= i; j += TILE) subtract_tile(n, a, i, j, from, to - from, columns);
    }
    for (size_t i = tiled; i < n; i++) {
        for (size_t j = to; j <= i; j++) subtract_one(n, a, i, j, from, to);
    }
}

bool rt_cholesky(size_t n, double *a, double *columns) {
    for (size_t from = 0; from < n; from += BLOCK) {
        size_t to = rt_min(from + BLOCK, n);
        if (!factor_corner(n, a, from, to)) return false;
        for (size_t i = to; i < n; i++) solve_row(n, a, a + i * n, from, to);
        subtract_block(n, a, from, to, columns);
    }
    return true;
}
