/* SPDX-License-Identifier: Apache-2.0
 * A teacher's answers to all examples, computed once. */
#ifndef RT_TRAIN_TEACHER_H
#define RT_TRAIN_TEACHER_H

#include "train/examples.h"

typedef struct rt_teacher {
    size_t columns;    /* of logits */
    float *logits;     /* one row per example, or per token of it (tags): [·, columns] */
    size_t *first_row; /* [examples] */
    size_t hidden;     /* 0: no hidden states */
    float *
        states; /* [tokens, hidden] of the last layer, for each of examples->ids; NULL if hidden is 0, or if the
                          cache would exceed its memory: then they are computed for each batch */
} rt_teacher;

/* Runs the teacher over the examples. Refuses one whose labels, task or vocabulary differ from the student's, by name.
 * states: also keep hidden states. memory: most bytes of the cache; 0: unlimited. */
retort_status rt_teacher_open(rt_teacher *out, retort_model *teacher, const retort_model *student,
                              const rt_examples *examples, bool states, uint64_t memory, int threads,
                              retort_progress_fn progress, void *user, retort_error *err);
void rt_teacher_free(rt_teacher *teacher);

#endif
