/* SPDX-License-Identifier: Apache-2.0
 * Losses: from the rows that a model gives to a number and its gradient. A batch's loss is the mean over its texts
 * (tags: over its scored tokens), however it is cut into chunks. Sums are in double and in a fixed order. */
#ifndef RT_TRAIN_LOSS_H
#define RT_TRAIN_LOSS_H

#include "train/examples.h"

typedef struct rt_loss_options {
    float smoothing; /* of labels, in [0, 1) */
    const float
        *class_weights; /* [labels] or NULL: all 1. PyTorch's weighted mean: divided by the sum of weights */
    float similarity_scale; /* RT_TARGET_PAIR: of cosines; sentence-transformers' 20 */
} rt_loss_options;

/* What the loss of a chunk is divided by: texts, scored tokens, or the sum of their class weights; over the examples
 * `which` [n]. A batch's chunks share the sum of theirs. */
double rt_loss_weight(const rt_examples *examples, const rt_loss_options *options, const size_t *which,
                      size_t n);
/* Adds to *loss that of the rows divided by `weight`, and to grad [rows, columns] its gradient times `share`. rows: one
 * for each example (RT_TARGET_TAGS: one for each of its tokens; RT_TARGET_PAIR: first rows of all first sequences, then of
 * all second ones). */
void rt_loss_rows(const rt_examples *examples, const rt_loss_options *options, const size_t *which, size_t n,
                  double weight, double share, const float *rows, size_t columns, float *grad, double *loss);

/* Distillation. KL of softmaxes (single label, tags) or of sigmoids (several labels) at a temperature, times its square;
 * numbers: mean squared error. `teacher` [rows, columns]. */
void rt_loss_teacher(rt_target_kind kind, size_t rows, size_t columns, const float *student,
                     const float *teacher, double temperature, double weight, double share, float *grad,
                     double *loss);
/* Mean squared error of hidden states [rows, n]; grad gets its gradient times `share`. */
void rt_loss_hidden(size_t rows, size_t n, const float *student, const float *teacher, double weight,
                    double share, float *grad, double *loss);

#endif
