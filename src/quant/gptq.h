/* SPDX-License-Identifier: Apache-2.0
 * GPTQ (Frantar et al., arXiv 2210.17323): weights are rounded one after another, and each one's error is
 * made up for by those that are still to come, so that the outputs on calibration data change least. Sixteen
 * columns of the matrix at a time; columns are independent.
 *
 * The paper keeps the inverse Hessian's upper Cholesky factor U (its step 3) and subtracts errors from the
 * weights ahead (equation 3). With the Hessian's own factor, H = V V^T with V upper triangular (U = V^-1),
 * the same weights are found looking back: when rows j < i have lost d_j = w_j - q_j, row i is rounded from
 *     w_i + sum over j < i of V_ji / V_ii d_j,
 * and what it loses of the layer's squared error is V_ii^2 times its own squared error. That needs no
 * inverse, and one product of matrices a group (Chen et al., arXiv 2507.18553, show it to be Babai's
 * algorithm). */
#ifndef RT_QUANT_GPTQ_H
#define RT_QUANT_GPTQ_H

#include "base/error.h"
#include "kernel/kernel.h"
#include "quant/panel.h"

/* A matrix's Hessian, ready for rounding. Steps are rows of k in the order of rounding. */
typedef struct rt_factor {
    size_t k, group;
    size_t weak;     /* the last steps: rows that keep 8 bits */
    uint32_t *order; /* [k] row of each step: rows of a group follow one another */
    float *back;     /* [k, k] V_ji / V_ii at [i][j], j < i; 64-byte aligned */
    float *cost;     /* [k] V_ii^2 */
    double added;    /* to H's diagonal */
    float *hessian;  /* [k, k] H in the order of steps, with that; NULL until it is kept */
} rt_factor;

/* H [k, k] (the lower triangle is read, and kept). weak_rows: [weak] rows that come last, or NULL. Groups and
 * the rows within them are taken by falling H_ii (the paper's act-order, as far as groups allow). */
retort_status rt_factor_make(rt_factor *out, size_t k, size_t group, const double *h,
                             const uint32_t *weak_rows, size_t weak, retort_error *err);
void rt_factor_free(rt_factor *factor);

/* Keeps H itself too, of the factor that was made of it: rt_gptq_descend needs it. */
retort_status rt_factor_keep_hessian(rt_factor *factor, const double *h, retort_error *err);

/* Work space for one panel. */
typedef struct rt_gptq_scratch {
    float *lost;  /* [k, 16] of each step: w - q */
    float *ahead; /* [most steps at a time, 16] the weights that are rounded */
    float *trial; /* the same shape: losses with one scale */
    int8_t *trial_codes, *best_codes;
    float *strong;    /* [k, 16] the panel without its weak rows */
    float *reals;     /* [groups, 16] */
    float *effective; /* [k, 16] the scale of each step's codes */
    float *slope;     /* [64, 16] */
} rt_gptq_scratch;
bool rt_gptq_begin(rt_gptq_scratch *out, const rt_factor *factor);
void rt_gptq_end(rt_gptq_scratch *scratch);

/* Rounds w [k, 16] to *out as rt_round_s4 does; codes of weak rows are 0, and `weak` [weak, 16] has them in
 * units of the column's scale. s->lost is then what every step lost. False: a weight is not finite. */
bool rt_gptq_panel(const rt_factor *factor, const rt_kernels *kernels, const float *w, rt_gptq_scratch *s,
                   rt_rounded *out, int8_t *weak);

/* What that made is no minimum: each step's code is chosen again, given those of all others, also of those
 * before it, where the layer's squared error is least (coordinate descent, as QuantEase, arXiv 2309.01885).
 * Scales stay. Takes what rt_gptq_panel has just left in *s and *out; no row is weak, and the factor has kept
 * H. */
void rt_gptq_descend(const rt_factor *factor, const rt_kernels *kernels, rt_gptq_scratch *s, rt_rounded *out);

/* a [n, n], of which the lower triangle is read, = L L^T; L replaces it. scratch: [RT_CHOLESKY_ROWS, n].
 * False: not positive definite. */
enum { RT_CHOLESKY_ROWS = 64 };
bool rt_cholesky(size_t n, double *a, double *scratch);

#endif
