/* SPDX-License-Identifier: Apache-2.0
 * From logits to scores, and the similarity of two vectors: plain functions of numbers. */
#ifndef RT_TASK_SCORES_H
#define RT_TASK_SCORES_H

#include "arch/encoder.h"

/* In place allowed. */
void rt_score_softmax(const float *logits, size_t n, float *out);
void rt_score_sigmoid(const float *logits, size_t n, float *out);
/* Those of a row [labels] of logits. */
void rt_score_row(const rt_config *config, const float *logits, float *out);
/* ln Σ exp(x[i * stride]) over n values */
double rt_score_log_sum(const float *x, size_t n, size_t stride);
/* Index of the largest, the first of equals; n >= 1. */
size_t rt_score_best(const float *values, size_t n);

/* Higher is closer: a distance comes with its sign turned. */
double rt_similarity_of(rt_similarity similarity, const float *a, const float *b, size_t n);
double rt_cosine(const float *a, const float *b, size_t n);

#endif
