/* SPDX-License-Identifier: Apache-2.0
 * A teacher: a model whose answers to the examples another one learns. Logits are computed once; so are hidden states,
 * if they fit into memory. */
#ifndef RT_TRAIN_TEACHER_H
#define RT_TRAIN_TEACHER_H

#include "engine/execute.h"
#include "train/examples.h"

typedef struct rt_teacher_options {
    const rt_kernels *kernels;   /* borrowed until rt_teacher_free */
    int threads;                 /* of its own: an executor is the only one of its pool */
    size_t rows;                 /* most tokens of a chunk, here and of rt_teacher_states */
    bool states;                 /* hidden states are wanted */
    uint64_t memory;             /* most bytes of those kept; 0: unlimited */
    retort_progress_fn progress; /* may be NULL; units are texts */
    void *user;
} rt_teacher_options;

typedef struct rt_teacher {
    rt_row_set rows;        /* of logits: of texts, or of tokens (tags) */
    size_t columns;         /* of logits */
    float *logits;          /* [·, columns]: a row for each example, or for each of examples->ids */
    size_t hidden;          /* columns of hidden states; 0: not wanted */
    rt_row_set hidden_rows; /* of tokens, or, where the model computes no others, of first tokens */
    /* [·, hidden], rows as of logits; NULL: too large, computed when they are asked for */
    float *states;
    /* Its engine; closed when all is computed. */
    retort_model *model; /* at level 3 */
    rt_plan plan;
    rt_executor executor;
    rt_thread_pool *pool;
    size_t states_step; /* whose first output is the hidden states */
    float *rows_now;    /* [rows, hidden] of rt_teacher_states */
} rt_teacher;

/* Runs the teacher over all examples. Refuses one whose task, labels or vocabulary differ from the student's, by name,
 * and answers that are not finite. */
retort_status rt_teacher_open(rt_teacher *out, const retort_model *teacher, const retort_model *student,
                              const rt_examples *examples, const rt_teacher_options *options,
                              retort_error *err);
void rt_teacher_free(rt_teacher *teacher);
/* The hidden states of a chunk, computed now: *rows [·, hidden], valid until the next call. */
retort_status rt_teacher_states(rt_teacher *teacher, const rt_chunk *chunk, const float **rows,
                                retort_error *err);

#endif
