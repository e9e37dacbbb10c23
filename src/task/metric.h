/* SPDX-License-Identifier: Apache-2.0
 * Scores and metrics: plain functions of numbers. */
#ifndef RT_TASK_METRIC_H
#define RT_TASK_METRIC_H

#include "model/encoder.h"

/* In place allowed. */
void rt_score_softmax(const float *logits, size_t n, float *out);
void rt_score_sigmoid(const float *logits, size_t n, float *out);
/* ln Σ exp(x[i * stride]) over n values */
double rt_score_log_sum(const float *x, size_t n, size_t stride);
/* Index of the largest, or the first of several; n >= 1. */
size_t rt_score_best(const float *values, size_t n);
/* Σ p ln(p/q) of p = softmax(reference), q = softmax(logits), element i at [i * stride]. */
double rt_divergence(const float *reference, const float *logits, size_t n, size_t stride);
/* The same for n independent binary outputs, summed. */
double rt_divergence_yes_no(const float *reference, const float *logits, size_t n);
double rt_similarity_of(rt_similarity similarity, const float *a, const float *b, size_t n);
double rt_cosine(const float *a, const float *b, size_t n);

/* Pearson correlation of ranks, where ties share their mean rank; NaN if one side is constant. */
retort_status rt_spearman(const double *x, const double *y, size_t n, double *out, retort_error *err);

/* The meaning of a tagging label: outside of entities, or a position in an entity of a type. */
typedef struct rt_tag_label {
    char mark;    /* 'O', 'B', 'I', … */
    int64_t type; /* index of the first label of this type; < 0: none */
} rt_tag_label;
/* As in transformers' pipelines: 'O', 'B' or 'I'; a name without B- or I- counts as I. [labels], free() */
rt_tag_label *rt_tag_labels_new(const rt_config *config);
/* As in seqeval: a letter, and the type after a '-'; a name of another form counts as I, as above. */
rt_tag_label *rt_entity_labels_new(const rt_config *config);

/* Counts entities of rt_entity_labels_new as seqeval does by default: B and S start one, E and S end it, and
 * a new one starts at a change of type and after an end or O. */
typedef struct rt_entity_counts {
    size_t gold, predicted, correct;
} rt_entity_counts;
void rt_count_entities(const rt_tag_label *labels, const int32_t *gold, const int32_t *predicted, size_t n,
                       rt_entity_counts *counts);
double rt_entity_f1(const rt_entity_counts *counts);

/* Comparison of SQuAD answers: lower-case ASCII, without punctuation, "a", "an", "the". */
retort_status rt_squad_compare(const retort_text *predicted, const retort_text *gold, double *exact,
                               double *f1, retort_error *err);

#endif
