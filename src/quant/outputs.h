/* SPDX-License-Identifier: Apache-2.0
 * The other side of a matrix. To GPTQ an error of one output is as bad as an equal one of another. Here
 * errors D [k, n] cost trace(G D^T H D): H the second moments of the inputs, G [n, n] those of the loss's
 * gradient at the outputs. It is the loss's Hessian as a product of two small ones (K-FAC, Martens and
 * Grosse, arXiv 1503.05671; for rounding, YAQA, arXiv 2505.22988).
 *
 * Columns then hang together as rows do in gptq.h, and are treated alike: with G = V V^T, V upper triangular
 * in panels of 16 columns, the cost is the sum over panels p of
 *     |(D_p + sum over q < p of D_q V_qp / V_pp) V_pp|^2 in the measure of H,
 * so panel p is rounded from w_p + sum over q < p of D_q V_qp / V_pp, whatever the panels before it lost. */
#ifndef RT_QUANT_OUTPUTS_H
#define RT_QUANT_OUTPUTS_H

#include "base/error.h"
#include "kernel/kernel.h"

typedef struct rt_outputs {
    size_t k, wide; /* wide: n in whole panels */
    float *back;    /* V_qp / V_pp, q < p, [16 p, 16] of panel p behind those of panels before it; or NULL */
    float *lost;    /* [k, wide] w - q of the panels so far */
} rt_outputs;

/* g [n, n]: its lower triangle is read. Zero gradients leave `back` NULL: columns are independent then. */
retort_status rt_outputs_make(rt_outputs *out, size_t k, size_t n, const float *g, retort_error *err);
void rt_outputs_free(rt_outputs *outputs);
/* moved [k, 16] = w [k, 16] with what the panels before `panel` lost; 64-byte aligned. */
void rt_outputs_move(const rt_outputs *outputs, const rt_kernels *kernels, size_t panel, const float *w,
                     float *moved);
/* lost [k, 16]: what rounding a panel lost of its w, row order[i] at i. */
void rt_outputs_keep(rt_outputs *outputs, size_t panel, const uint32_t *order, const float *lost);

#endif
