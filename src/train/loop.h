/* SPDX-License-Identifier: Apache-2.0
 * The loop of a training: steps, evaluations, and what stops it. */
#ifndef RT_TRAIN_LOOP_H
#define RT_TRAIN_LOOP_H

#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/divergence.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/trainee.h"

/* Losses of the last steps, for their mean. */
enum { RT_LOOP_RECENT = RT_DIVERGENCE_WINDOW };

/* What a checkpoint keeps of the loop: numbers of eight bytes each. */
typedef struct rt_loop_state {
    uint64_t step, tokens, best_step;
    uint64_t stale;                /* evaluations since it was best */
    double dev, best;              /* last and best value; NaN before the first */
    double epoch_loss, last_loss;  /* sum over the steps of this epoch; mean of the last one */
    double losses[RT_LOOP_RECENT]; /* of step i at i modulo their number */
    uint64_t evaluated;            /* the last step after which dev was evaluated */
    rt_divergence_state divergence;
} rt_loop_state;

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
    rt_divergence_rule divergence;

    const char *belongs; /* of its checkpoints */

    rt_loop_state state;
    uint64_t best_saved;      /* the step of the best model that is in a file */
    retort_model *best_model; /* NULL before the first evaluation */
    const char *metric;       /* of dev */
    rt_prepared prepared;
    int32_t *rows; /* of a table that a batch reads */
    size_t row_capacity;
    int64_t started, saved; /* rt_now_ns: of the loop, of the last checkpoint or attempt */
    size_t first_step;      /* after which it went on */
    size_t timed_tokens;    /* of the steps since then */
    double timed;           /* seconds of those steps */
    bool stopped;           /* by progress, or early */
    bool interrupted;       /* by progress */
} rt_loop;

/* Takes up the state of its checkpoint, and the best model beside it. */
retort_status rt_loop_resume(rt_loop *loop, retort_error *err);
/* Runs from step optimizer->step to the last one, or until progress or patience stop it. */
retort_status rt_loop_run(rt_loop *loop, retort_error *err);
void rt_loop_close(rt_loop *loop);
/* Mean over the last epoch, or over what is done of the first one; NaN before the first step. */
double rt_loop_loss(const rt_loop *loop);
/* After the last step: brings the weights up to date that rt_loop_model copies. */
retort_status rt_loop_settle(rt_loop *loop, retort_error *err);
/* The best model, or that of now without evaluations: the caller's. No longer needs optimizer or
 * objective. */
retort_status rt_loop_model(rt_loop *loop, retort_model **out, retort_error *err);

#endif
