/* SPDX-License-Identifier: Apache-2.0
 * The output side of a matrix. GPTQ weighs equal errors of all outputs equally. Here, errors D [k, n] cost
 * trace(G D^T H D), where H holds the second moments of the inputs and G [n, n] those of the gradient of the
 * loss at the outputs. This is the Hessian of the loss as a product of two small ones (K-FAC, Martens and
 * Grosse, arXiv 1503.05671; for rounding, YAQA, arXiv 2505.22988).
 *
 * Columns then depend on each other as rows do in gptq.h, and are handled the same way. With G = V V^T, V
 * upper triangular in panels of 16 columns, the cost is the sum over panels p, in the norm of H, of
 *     |(D_p + sum over q < p of D_q V_qp / V_pp) V_pp|^2
 * so panel p is rounded from w_p + sum over q < p of D_q V_qp / V_pp: it compensates the panels before it. */
#ifndef RT_QUANT_OUTPUT_HESSIAN_H
#define RT_QUANT_OUTPUT_HESSIAN_H

#include "base/error.h"
#include "kernel/kernel.h"

typedef struct rt_output_hessian {
    size_t k, wide; /* wide: n in whole panels */
    float *back;    /* V_qp / V_pp, q < p: [16 p, 16] for each panel p, concatenated; or NULL */
    float *lost;    /* [k, wide] w - q of the panels so far */
} rt_output_hessian;

/* Reads the lower triangle of g [n, n]. With zero gradients, `back` is NULL: columns are independent. */
retort_status rt_output_hessian_make(rt_output_hessian *out, size_t k, size_t n, const float *g,
                                     retort_error *err);
void rt_output_hessian_free(rt_output_hessian *outputs);
/* compensated [k, 16] = w [k, 16] compensated for the errors of the panels before `panel`; 64-byte aligned. */
void rt_output_hessian_compensate(const rt_output_hessian *outputs, const rt_kernels *kernels, size_t panel,
                                  const float *w, float *compensated);
/* lost [k, 16]: the error of a rounded panel, with row order[i] at i. */
void rt_output_hessian_keep(rt_output_hessian *outputs, size_t panel, const uint32_t *order,
                            const float *lost);

#endif
