/* SPDX-License-Identifier: Apache-2.0
 * Rounds matrices with GPTQ, using the calibrated moments of their inputs. */
#ifndef RT_QUANT_GPTQ_WEIGHT_H
#define RT_QUANT_GPTQ_WEIGHT_H

#include "quant/calibrate.h"
#include "quant/ptq.h"

/* How the weight of a Linear is rounded: GPTQ with `bits` of 8, 4, 3 or 2, with a bias correction that
 * keeps the mean of the outputs. */
typedef struct rt_gptq_options {
    int bits;
    size_t group;    /* with 8 bits, only the order of rounding has groups */
    size_t outliers; /* rows that keep 8 bits (OWQ, arXiv 2306.02272), a multiple of 8; none with 8 bits */
    const float *outputs; /* NULL, or G [n, n] of quant/output_hessian.h; borrowed */
    rt_moments *moments;  /* of the inputs, borrowed, overwritten. Without rows: rounds to nearest */
    const rt_kernels *kernels;
} rt_gptq_options;

/* The integers of a matrix, not yet in the graph. */
typedef struct rt_gptq_weight rt_gptq_weight;
/* Only reads the graph: several threads may round matrices of one graph. Free *out in any case. */
retort_status rt_gptq_weight_round(rt_gptq_weight **out, const rt_graph *graph, int node,
                                   const rt_gptq_options *how, retort_error *err);
/* Stores the weight of the node as p16_s8 or p16_s4, and its bias. */
retort_status rt_gptq_weight_settle(const rt_gptq_weight *rounded, rt_graph *graph, int node,
                                    retort_error *err);
void rt_gptq_weight_free(rt_gptq_weight *rounded); /* or NULL */

/* Rounds the word table of an Embed to 4, 3 or 2 bits, by GPTQ with `moments` [n, n] of gradients instead of
 * inputs: what an error in a row costs the answers. Reads their lower triangle. */
retort_status rt_gptq_word_table(rt_graph *graph, int node, int bits, int64_t group,
                                 const rt_word_rows *words, const double *moments, const rt_kernels *kernels,
                                 retort_error *err);

#endif
