/* SPDX-License-Identifier: Apache-2.0
 * Second moments of what a Linear reads, with a last column of ones, which stands for the bias; and of these with what its
 * output lacks. */
#ifndef RT_PRUNE_MOMENTS_H
#define RT_PRUNE_MOMENTS_H

#include "prune/probe.h"

typedef struct rt_prune_moments {
    size_t k; /* columns of x, and the ones */
    size_t n; /* of the output; 0: only x */
    size_t rows;
    double *h; /* [k, k] x^T x, the lower triangle */
    double *c; /* [k, n] x^T (target - y), or NULL */
} rt_prune_moments;

/* Moments of `count` Linears of the model, in one run of the texts. target [rows of all texts, n]: what y of the only one should
 * be; NULL: only h is measured. */
retort_status rt_prune_moments_make(rt_prune_moments *out, const rt_probe *probe, retort_model *model,
                                    const char *const *names, size_t count, const float *target,
                                    retort_error *err);
void rt_prune_moments_free(rt_prune_moments *moments);

/* Adds `times` DAMPING of the mean of the diagonal to that of each column but the ones. Returns what it added. */
double rt_prune_damp(size_t k, double *h, double times);

/* Solves a x = b for x in place of b [k, n], where a [k, k] is symmetric (the lower triangle) and is destroyed. scratch:
 * [RT_CHOLESKY_ROWS, k]. False: a is not positive definite. */
bool rt_prune_solve(size_t k, size_t n, double *a, double *b, double *scratch);

#endif
