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
    float score; /* RT_TARGET_PAIR with scores: similarity in [0, 1] */
} rt_example;

typedef struct rt_examples {
    rt_target_kind kind;
    rt_example *items; /* [count], in file order */
    size_t count;
    bool scored;          /* RT_TARGET_PAIR: the data has scores */
    size_t columns;       /* RT_TARGET_LABELS, RT_TARGET_VALUE: numbers in a row of targets */
    float *targets;       /* [count, columns] */
    int32_t *tags;        /* RT_TARGET_TAGS: [tokens], for each of ids */
    int32_t *ids, *types; /* [tokens] of all sequences, concatenated */
    size_t tokens;
    uint64_t truncated; /* texts that were cut to max_length */
} rt_examples;

/* Reads and tokenises the data for the task of the model. max_length < 0: that of the model. labels false: texts
 * alone are needed. */
retort_status rt_examples_open(rt_examples *out, const retort_model *model, const retort_dataset *data,
                               int64_t max_length, bool labels, retort_error *err);
void rt_examples_free(rt_examples *examples);

#endif
