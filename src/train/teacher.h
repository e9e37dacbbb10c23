/* SPDX-License-Identifier: Apache-2.0
 * A teacher: a model whose answers another one learns. Its answers to the examples are computed once and kept, if they
 * fit into memory; a live teacher answers each chunk when it is asked, whatever its texts are. */
#ifndef RT_TRAIN_TEACHER_H
#define RT_TRAIN_TEACHER_H

#include "engine/execute.h"
#include "train/examples.h"

typedef struct rt_teacher_options {
    const rt_kernels *kernels;   /* borrowed until rt_teacher_free */
    int threads;                 /* of its own: an executor is the only one of its pool */
    size_t rows;                 /* most tokens of a chunk, here and of rt_teacher_ask */
    bool states;                 /* hidden states are wanted: those of the last LayerNorm */
    bool all_states;             /* and those of the others; of a live teacher alone */
    bool live;                   /* nothing is kept */
    uint64_t memory;             /* most bytes of hidden states kept, or it is live; 0: unlimited */
    retort_progress_fn progress; /* may be NULL; units are texts */
    void *user;
} rt_teacher_options;

/* Hidden states: what a LayerNorm gives. */
typedef struct rt_teacher_norm {
    size_t step;     /* of the plan, whose first output they are */
    size_t n;        /* columns */
    rt_row_set kind; /* rows of tokens, or, where the model computes no others, of first tokens */
    float *now;      /* live: [rows, n] of the last chunk; else NULL */
} rt_teacher_norm;

typedef struct rt_teacher {
    rt_row_set rows; /* of logits: of texts, or of tokens (tags) */
    size_t columns;  /* of logits */
    float *logits;   /* [·, columns]: a row for each example, or for each of examples->ids; NULL: live */
    rt_teacher_norm
        *norms;        /* [norm_count] in the order of the graph; the last one alone unless all are wanted */
    size_t norm_count; /* 0: no states are wanted */
    float *states;     /* of the last norm, rows as of logits; NULL: live */
    bool live;
    float *logits_now; /* live: [·, columns] of the last chunk, a row for each of its sequences or tokens */
    /* Its engine; closed when all is computed. */
    retort_model *model; /* at level 3 */
    rt_plan plan;
    rt_executor executor;
    rt_thread_pool *pool;
} rt_teacher;

/* Runs the teacher over all examples. Refuses one whose task, labels or vocabulary differ from the student's, by name,
 * and answers that are not finite. */
retort_status rt_teacher_open(rt_teacher *out, const retort_model *teacher, const retort_model *student,
                              const rt_examples *examples, const rt_teacher_options *options,
                              retort_error *err);
void rt_teacher_free(rt_teacher *teacher);
/* A live teacher's answers to a chunk: logits_now, and `now` of each norm. RETORT_NONFINITE: they are not finite. */
retort_status rt_teacher_ask(rt_teacher *teacher, const rt_chunk *chunk, retort_error *err);

#endif
