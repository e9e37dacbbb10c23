/* SPDX-License-Identifier: Apache-2.0
 * Matrices rounded with what calibration saw of their inputs. */
#ifndef RT_QUANT_LEARNED_H
#define RT_QUANT_LEARNED_H

#include "quant/calibrate.h"
#include "quant/ptq.h"

/* The weight of a Linear to p16_s4 by GPTQ, with `bits` of 4 or 3, and its bias to what keeps the mean of the
 * outputs. `weak`: rows that keep 8 bits (OWQ, arXiv 2306.02272), a multiple of 8. moments: their squares are
 * used up. Without any rows seen it is rounded to nearest. outputs: NULL, or G [n, n] of quant/outputs.h. */
retort_status rt_learned_matrix(rt_graph *graph, int node, int bits, int64_t group, size_t weak,
                                const float *outputs, rt_moments *moments, const rt_kernels *kernels,
                                retort_error *err);

/* The word table of an Embed to 4 or 3 bits, by GPTQ with `moments` [n, n] of gradients in the place of those
 * of inputs: what a row's error costs the answers. Their lower triangle is read. */
retort_status rt_learned_words(rt_graph *graph, int node, int bits, int64_t group, const rt_words *words,
                               const double *moments, const rt_kernels *kernels, retort_error *err);

#endif
