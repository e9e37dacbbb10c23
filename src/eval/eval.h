/* SPDX-License-Identifier: Apache-2.0
 * The state of one evaluation, shared by its parts. */
#ifndef RT_EVAL_EVAL_H
#define RT_EVAL_EVAL_H

#include "eval/dataset.h"
#include "eval/interval.h"
#include "eval/metric.h"
#include "task/feed.h"
#include "task/task.h"

/* Accumulated differences from the reference. */
typedef struct rt_comparison {
    double kl, agree, worst;
    size_t rows;
} rt_comparison;

/* What the answers of one model count. */
typedef struct rt_sheet {
    rt_tally *rows;          /* [samples] */
    rt_decisions *decisions; /* [labels] of texts, or of types of entities: at the first label of a type */
    double second;           /* answers: sum of their F1 */
} rt_sheet;

typedef struct rt_evaluation {
    retort_session *session;
    const rt_config *config;
    const rt_tokenizer *tokenizer;
    const retort_dataset *data;
    const retort_eval_options *options;
    rt_encode_options encode;
    size_t budget; /* tokens per batch */
    rt_feed feed;
    rt_encoding *encodings; /* of this batch: [feed.n]; the rest of `used` is kept for the next batch */
    int32_t *targets;       /* [feed.n] fill: the piece that was masked */
    size_t encoding_capacity, target_capacity, used;
    rt_comparison comparison;
    rt_buffer line; /* logits as text */
    rt_token_count tokens;
    rt_sheet own, reference;
    rt_tag_label *labels; /* tag */
    size_t untyped;       /* label that entities without a type are counted for */
    int32_t *words;       /* tag: predicted label of each word */
    size_t word_capacity;
    bool *has; /* [labels] those of a text */
    /* The data has no labels: those of the reference are taken for them. */
    bool agrees;
    retort_matrix reference_rows; /* of this batch */
} rt_evaluation;

/* One row per kind of evaluation. */
typedef struct rt_eval_kind {
    const char *metric, *second_metric;
    rt_data_kind data;    /* required kind of data */
    bool labelled, pairs; /* required content of its rows */
    const char *needs;    /* the same as text */
    /* Encodes a sample into one or more slots, and feeds them. */
    retort_status (*feed)(rt_evaluation *e, const rt_sample *sample, retort_error *err);
    /* Counts a sample from the logits of its n sequences, which start at `first`. */
    retort_status (*score)(rt_evaluation *e, size_t index, size_t first, size_t n, const retort_matrix *rows,
                           rt_sheet *sheet, retort_error *err);
    rt_metric_fn of; /* of what the rows count; NULL: Spearman's rank correlation */
    bool share;      /* the metric is a share of the rows */
    double (*second_of)(const rt_evaluation *e, const rt_sheet *sheet); /* optional */
    /* What a row counts that the reference alone gets right: of the model, and of the reference. All 0: the metric counts no rows. */
    rt_tally worse[2];
} rt_eval_kind;
const rt_eval_kind *rt_eval_kind_of(const rt_config *config);

/* retort_eval; arguments are checked by the caller. */
retort_status rt_evaluate(retort_session *session, const retort_dataset *data,
                          const retort_eval_options *options, retort_eval_result *result, retort_error *err);

/* Rows of sequence i: first row; rows per token for tag and answer, else one each. */
size_t rt_eval_row(const rt_evaluation *e, size_t sequence);
/* Tells options->each of sample `index`, whose n sequences start at `first`. */
retort_status rt_eval_tell(const rt_evaluation *e, size_t index, size_t first, size_t n,
                           const retort_matrix *rows, const retort_matrix *reference, retort_error *err);
/* Adds the differences of a batch's logits to e->comparison. */
void rt_eval_compare(rt_evaluation *e, const retort_matrix *rows, const retort_matrix *reference);

#endif
