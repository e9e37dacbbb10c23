/* SPDX-License-Identifier: Apache-2.0
 * Losses: from the rows that a model gives to a number and its gradient. A batch's loss is the mean over its texts
 * (tags: over its scored tokens), however it is cut into chunks. Sums are in double and in a fixed order. */
#ifndef RT_TRAIN_LOSS_H
#define RT_TRAIN_LOSS_H

#include "train/examples.h"

typedef struct rt_loss_options {
    float smoothing; /* of labels, in [0, 1): as in PyTorch's cross_entropy; yes-no labels move towards 1/2 */
    /* [labels] or NULL: all 1. One label, tags: the mean is divided by the sum of the weights, as in PyTorch. Several
     * labels: each label's part of the loss. */
    const float *class_weights;
    float similarity_scale; /* RT_TARGET_PAIR: of cosines; sentence-transformers' 20 */
} rt_loss_options;

/* What the loss of a chunk is divided by: texts, scored tokens, or the sum of their class weights; over the examples
 * `which` [n]. A batch's chunks share the sum of theirs. */
double rt_loss_weight(const rt_examples *examples, const rt_loss_options *options, const size_t *which,
                      size_t n);
/* Adds to *loss that of the rows divided by `weight`, and to grad [rows, columns] its gradient times `share`. rows: one
 * for each example; RT_TARGET_TAGS: one for each of its tokens. RT_TARGET_LABEL, RT_TARGET_TAGS: cross entropy;
 * RT_TARGET_LABELS: binary cross entropy, RT_TARGET_VALUE: squared error, both the mean over columns. */
void rt_loss_rows(const rt_examples *examples, const rt_loss_options *options, const size_t *which, size_t n,
                  double weight, double share, const float *rows, size_t columns, float *grad, double *loss);

/* RT_TARGET_PAIR, for a whole batch: rows [2, n, columns] of the first sequences, then of the second ones. Without scores:
 * cross entropy of scale · cos(first i, second j) over all j, where i belongs (van den Oord et al., 1807.03748;
 * sentence-transformers' MultipleNegativesRankingLoss), those left out whose pair has the same first or the same second
 * text, which are no wrong answers. With scores: squared error of cos(first i, second i)
 * (CosineSimilarityLoss). Adds as rt_loss_rows, mean over n. RETORT_NOMEM: there is no room for the gradients in double. */
retort_status rt_loss_pairs(const rt_examples *examples, const rt_loss_options *options, const size_t *which,
                            size_t n, double share, const float *rows, size_t columns, float *grad,
                            double *loss, retort_error *err);

/* Distillation: adds as rt_loss_rows. KL(teacher || student) of softmaxes (one label, tags) or, the mean over columns, of
 * sigmoids (several labels) at a temperature, times its square (Hinton et al., 1503.02531); numbers and vectors: squared
 * error, the mean over columns. `teacher` [rows, columns]. */
void rt_loss_teacher(rt_target_kind kind, size_t rows, size_t columns, const float *student,
                     const float *teacher, double temperature, double weight, double share, float *grad,
                     double *loss);
/* Squared error of hidden states [rows, n], the mean over n; adds as rt_loss_rows. */
void rt_loss_hidden(size_t rows, size_t n, const float *student, const float *teacher, double weight,
                    double share, float *grad, double *loss);

#endif
