/* SPDX-License-Identifier: Apache-2.0
 * The loop of a training: steps, evaluations, and what stops it. */
#ifndef RT_TRAIN_LOOP_H
#define RT_TRAIN_LOOP_H

#include "train/batches.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/trainee.h"

/* Losses of the last steps, for their mean. */
enum { RT_LOOP_RECENT = 50 };

typedef struct rt_loop {
    /* Parts of the training, borrowed. */
    const retort_train_options *options;
    rt_trainee *trainee;
    rt_batches *batches;
    rt_objective *objective;
    rt_optimizer *optimizer;
    rt_limits limits; /* of a chunk */
    int threads;
    size_t steps; /* of the whole training */

    /* Its state; the part up to `tokens` is in a checkpoint, as are the optimiser's and the parameters'. */
    double losses[RT_LOOP_RECENT]; /* of step i at i modulo their number */
    double epoch_loss, last_loss;  /* sum over the steps of this epoch; mean of the last whole one */
    double dev, best;              /* last and best value; NaN before the first */
    size_t best_step, stale;       /* when it was best; evaluations since then */
    size_t tokens;                 /* trained so far */
    retort_model *best_model;      /* NULL before the first evaluation */
    retort_session *session;       /* for evaluations; NULL before the first */
    const char *metric;            /* of dev */
    rt_prepared prepared;
    int32_t *rows; /* of a table that a batch reads */
    size_t row_capacity;
    int64_t started, saved; /* rt_now_ns: of the loop, of the last checkpoint */
    size_t first_step;      /* after which it went on */
    size_t timed_tokens;    /* of the steps since then */
    double timed;           /* seconds of those steps */
    bool stopped;           /* by progress, or early */
} rt_loop;

/* Runs from step optimizer->step to the last one, or until progress or patience stop it. */
retort_status rt_loop_run(rt_loop *loop, retort_error *err);
void rt_loop_close(rt_loop *loop);
/* The best model, or that of now without evaluations: the caller's. */
retort_status rt_loop_model(rt_loop *loop, retort_model **out, retort_error *err);

#endif
