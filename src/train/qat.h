/* SPDX-License-Identifier: Apache-2.0
 * Quantisation-aware training: the forward pass computes with exactly the integers that are deployed. Masters are floats;
 * before each step they are rounded into the constants of an integer graph, by the functions that quantise. Gradients pass
 * the rounding straight (Bengio et al., 1308.3432), and are 0 where a code is clipped; step sizes are learned as in LSQ
 * (Esser et al., 1902.08153). */
#ifndef RT_TRAIN_QAT_H
#define RT_TRAIN_QAT_H

#include "train/trainee.h"

typedef struct rt_qat rt_qat;

typedef struct rt_qat_options {
    size_t steps;     /* of the whole training */
    size_t regroup;   /* integer scales of groups are chosen anew every so many steps; 0: 100 */
    double frozen;    /* they stay for this last share of the steps; 0: a third */
    int freeze_flips; /* a code that flipped more often than this stays; 0: none does */
} rt_qat_options;

/* integer: what a recipe made of `model`, whose graph is trained, constants copied. Masters start at what the codes stand
 * for, corrected by the float weights of `model` where they round to the same codes. Parameters: masters, step sizes
 * (per channel), biases, LayerNorm. */
retort_status rt_qat_open(rt_trainee *out, const retort_model *integer, const retort_model *model,
                          const rt_qat_options *options, retort_error *err);
void rt_qat_close(rt_qat *qat);
/* Masters to codes, scales and sums in the constants of the graph, and to rt_parameter.used. step: from 0. */
retort_status rt_qat_refresh(rt_trainee *trainee, size_t step, retort_error *err);
/* Gradients with respect to `used` become those of masters and step sizes. */
void rt_qat_gather(rt_trainee *trainee);

#endif
