/* SPDX-License-Identifier: Apache-2.0
 * GPTQ (Frantar et al., arXiv 2210.17323): rounds weights one by one and lets the remaining weights
 * compensate each error, to minimise the error of the outputs on calibration data. Works on sixteen columns
 * of the matrix at a time; columns are independent.
 *
 * The paper keeps the upper Cholesky factor U of the inverse Hessian (its step 3) and subtracts errors from
 * the weights ahead (equation 3). With the factor of the Hessian itself, H = V V^T with V upper triangular
 * (U = V^-1), looking back finds the same weights: if rows j < i have errors d_j = w_j - q_j, row i is
 * rounded from
 *     w_i + sum over j < i of V_ji / V_ii d_j,
 * and adds V_ii^2 times its own squared error to that of the layer. This needs no inverse and one matrix
 * product per group (Chen et al., arXiv 2507.18553, show that it is Babai's algorithm). */
#ifndef RT_QUANT_GPTQ_H
#define RT_QUANT_GPTQ_H

#include "base/error.h"
#include "kernel/kernel.h"
#include "quant/panel.h"

/* The factored Hessian of a matrix. Steps are rows of k in the order of rounding. */
typedef struct rt_factor {
    size_t k, group;
    size_t outliers; /* the last steps: rows that keep 8 bits (outliers) */
    uint32_t *order; /* [k] row of each step; rows of a group are consecutive */
    float *back;     /* [k, k] V_ji / V_ii at [i][j], j < i; 64-byte aligned */
    float *cost;     /* [k] V_ii^2 */
    double added;    /* added to the diagonal of H */
    float *hessian;  /* [k, k] damped H in the order of steps; NULL until kept */
} rt_factor;

/* Factors H [k, k] (reads the lower triangle and does not change it). outlier_rows: [outliers] rows that come last,
 * or NULL. Groups, and rows within them, are ordered by descending H_ii (the act-order of the paper, as far
 * as groups allow). */
retort_status rt_factor_make(rt_factor *out, size_t k, size_t group, const double *h,
                             const uint32_t *outlier_rows, size_t outliers, retort_error *err);
void rt_factor_free(rt_factor *factor);

/* Also keeps the H that the factor was made from: rt_gptq_descend needs it. */
retort_status rt_factor_keep_hessian(rt_factor *factor, const double *h, retort_error *err);

/* Work space for one panel. */
typedef struct rt_gptq_scratch {
    float *lost;  /* [k, 16] of each step: w - q */
    float *ahead; /* [most steps at a time, 16] compensated weights, about to be rounded */
    float *trial; /* the same shape: errors with one scale */
    int8_t *trial_codes, *best_codes;
    float *inliers;   /* [k, 16] the panel without its outlier rows */
    float *reals;     /* [groups, 16] */
    float *effective; /* [k, 16] the scale of the codes of each step */
    float *slope;     /* [64, 16] */
} rt_gptq_scratch;
bool rt_gptq_begin(rt_gptq_scratch *out, const rt_factor *factor);
void rt_gptq_end(rt_gptq_scratch *scratch);

/* Rounds w [k, 16] to *out in the form of rt_round_grouped. Codes of outlier rows are 0, or ±1 where
 * the grid has no 0; `outliers` [outliers, 16] holds the rest in units of the scale of the column. Leaves the error of every step in s->lost. False: a weight is
 * not finite. */
bool rt_gptq_panel(const rt_factor *factor, const rt_kernels *kernels, const float *w, rt_gptq_scratch *s,
                   rt_rounded *out, int8_t *outliers);

/* Rounds w [k, 16] to *out in the form of rt_round_s8, whose scales it takes: 8 bits, without groups or outlier rows. */
bool rt_gptq_panel_s8(const rt_factor *factor, const rt_kernels *kernels, const float *w, rt_gptq_scratch *s,
                      rt_rounded *out);

/* Improves the result of rt_gptq_panel by coordinate descent (QuantEase, arXiv 2309.01885): chooses the code
 * of each step again, given those of all other steps, to minimise the squared error of the layer. Scales
 * stay. Call right after rt_gptq_panel with the same *s and *out; requires no outlier rows and a factor that
 * kept H. */
void rt_gptq_descend(const rt_factor *factor, const rt_kernels *kernels, rt_gptq_scratch *s, rt_rounded *out);

#endif
