/* SPDX-License-Identifier: Apache-2.0
 * A data set as token ids and targets. */
#ifndef RT_TRAIN_EXAMPLES_H
#define RT_TRAIN_EXAMPLES_H

#include "eval/dataset.h"
#include "model/model.h"

/* What an example's answer is. */
typedef enum rt_target_kind {
    RT_TARGET_NONE,   /* texts without labels: for distillation */
    RT_TARGET_LABEL,  /* one of config.labels */
    RT_TARGET_LABELS, /* any of them: 0 or 1 each */
    RT_TARGET_VALUE,  /* numbers: config.labels of them, usually 1 */
    RT_TARGET_TAGS, /* a label for each token; -1: not scored (special tokens, pieces after a word's first) */
    RT_TARGET_PAIR /* embeddings: sentence1 and sentence2 are two sequences that belong together, with an optional
                         score */
} rt_target_kind;

typedef struct rt_example {
    size_t first, length;             /* range in ids and types */
    size_t other_first, other_length; /* RT_TARGET_PAIR: of the second sequence */
    int64_t label;
    float score; /* RT_TARGET_PAIR with scores: similarity, at most 1 */
} rt_example;

typedef struct rt_examples {
    rt_target_kind kind;   /* of the examples, */
    rt_target_kind answer; /* and of the model's answers, with or without labels */
    rt_example *items;     /* [count], in file order */
    size_t count;
    bool scored;          /* RT_TARGET_PAIR: the data has scores */
    size_t columns;       /* RT_TARGET_LABELS, RT_TARGET_VALUE: numbers in a row of targets */
    float *targets;       /* [count, columns] */
    int32_t *tags;        /* RT_TARGET_TAGS: [tokens], for each of ids */
    int32_t *ids, *types; /* [tokens] of all sequences, concatenated */
    size_t tokens;
    uint64_t truncated; /* texts that were cut to max_length */
} rt_examples;

/* Tokenises the data for the task of the model, in time linear in the data. max_length < 0: that of the model. labels
 * false: texts alone are needed. Collected labels must be labels of the model. Scores of pairs of which some exceed 1 are
 * divided by the largest. Refuses data that the model cannot learn from, by file and line. */
retort_status rt_examples_open(rt_examples *out, const retort_model *model, const retort_dataset *data,
                               int64_t max_length, bool labels, retort_error *err);
void rt_examples_free(rt_examples *examples);
/* What is odd about examples to learn from, a warning each: labels of the model that none has, empty texts, texts that were
 * cut. RETORT_FORMAT: all have the same label, or the same number. warning: may be NULL. */
retort_status rt_examples_check(const rt_examples *examples, const retort_model *model,
                                const retort_dataset *data, void (*warning)(void *user, const char *text),
                                void *user, retort_error *err);
/* Weights of the labels by the inverse of how often they occur, as scikit-learn's "balanced": all / (labels that occur *
 * occurrences); 1 for labels that do not. out: [labels] */
retort_status rt_examples_class_weights(const rt_examples *examples, size_t labels, float *out,
                                        retort_error *err);

#endif
