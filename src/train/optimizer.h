/* SPDX-License-Identifier: Apache-2.0
 * AdamW (Loshchilov and Hutter, 1711.05101) with decoupled decay, as PyTorch computes it. Rows of a table that did not
 * occur are not touched: their moments decay, and weight decay applies, in closed form when they occur again. */
#ifndef RT_TRAIN_OPTIMIZER_H
#define RT_TRAIN_OPTIMIZER_H

#include "base/thread.h"
#include "grad/parameters.h"
#include "retort.h"

typedef struct rt_rate_plan {
    double rate;   /* the highest learning rate */
    double warmup; /* share of the steps, in [0, 1) */
    retort_decay decay;
    size_t steps; /* of the whole training */
} rt_rate_plan;
/* The learning rate of step `step`, from 0. */
double rt_rate_at(const rt_rate_plan *schedule, size_t step);

typedef struct rt_optimizer_options {
    double beta1, beta2, epsilon, weight_decay; /* of matrices and tables; vectors have none */
    double clip;                                /* largest norm of all gradients; 0: no limit */
} rt_optimizer_options;

typedef struct rt_moment {
    float *first, *second; /* [count]; tables: of rows that ever occurred */
    int32_t *slot;         /* tables: [rows] where the moments of a row are, -1: it has none */
    int32_t *seen;         /* tables: [slots] the step at which they were up to date */
    size_t slots, slot_capacity;
    double rate; /* factor of the learning rate, 1 unless layers have their own */
} rt_moment;

typedef struct rt_optimizer {
    rt_parameters *parameters; /* borrowed */
    rt_optimizer_options options;
    rt_moment *moments;   /* [parameters->count] */
    size_t step;          /* steps done */
    rt_thread_pool *pool; /* borrowed */
} rt_optimizer;

retort_status rt_optimizer_open(rt_optimizer *out, rt_parameters *parameters,
                                const rt_optimizer_options *options, rt_thread_pool *pool, retort_error *err);
void rt_optimizer_close(rt_optimizer *optimizer);
/* The norm of all gradients, its sum in a fixed order: the same bits with any number of threads. */
double rt_optimizer_norm(const rt_optimizer *optimizer);
/* One step with the gradients of the parameters times min(1, clip / norm). */
retort_status rt_optimizer_step(rt_optimizer *optimizer, double rate, double norm, retort_error *err);

#endif
