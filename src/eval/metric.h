/* SPDX-License-Identifier: Apache-2.0
 * Metrics of an evaluation: plain functions of numbers. */
#ifndef RT_EVAL_METRIC_H
#define RT_EVAL_METRIC_H

#include "task/task.h"

/* Σ p ln(p/q) of p = softmax(reference), q = softmax(logits), element i at [i * stride]. */
double rt_divergence(const float *reference, const float *logits, size_t n, size_t stride);
/* The same for n independent binary outputs, summed. */
double rt_divergence_yes_no(const float *reference, const float *logits, size_t n);

/* As in seqeval: a letter, and the type after a '-'; a name of another form counts as I, as above. */
rt_tag_label *rt_entity_labels_new(const rt_config *config);

/* Right and wrong decisions: entities, or labels of texts. */
typedef struct rt_decisions {
    size_t gold, predicted, correct;
} rt_decisions;
double rt_f1(const rt_decisions *decisions);
/* The mean over n labels, as scikit-learn's f1_score averages "macro"; "micro" is the F1 of their sums. A label that neither is
 * nor was predicted counts as 0 where texts have several labels, and not at all where they have one: `absent`. */
double rt_f1_macro(const rt_decisions *labels, size_t n, bool absent);

/* Counts entities of rt_entity_labels_new as seqeval does by default: B and S start one, E and S end it, and
 * a new one starts at a change of type and after an end or O. RT_NO_TAG is O, also where no label is. */
enum { RT_NO_TAG = -1 };
void rt_count_entities(const rt_tag_label *labels, const int32_t *gold, const int32_t *predicted, size_t n,
                       rt_decisions *counts);
/* The same by type: adds to that of the first label with the entity's type, and of the label `untyped` if it has none. */
void rt_count_entity_types(const rt_tag_label *labels, size_t untyped, const int32_t *gold,
                           const int32_t *predicted, size_t n, rt_decisions *types);
/* The label that stands for entities without a type: the first of n that is a prefix alone ("B"), or else 0. */
size_t rt_untyped_label(const rt_tag_label *labels, size_t n);

/* Comparison of SQuAD answers: lower-case ASCII, without punctuation, "a", "an", "the". */
retort_status rt_squad_compare(const retort_text *predicted, const retort_text *gold, double *exact,
                               double *f1, retort_error *err);

#endif
