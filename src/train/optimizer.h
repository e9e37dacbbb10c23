/* SPDX-License-Identifier: Apache-2.0
 * AdamW (Loshchilov and Hutter, 1711.05101) with decoupled decay, as PyTorch computes it.
 *
 * PyTorch moves every row of a table in every step. Here a step touches only rows that occur in its batch. Before they occur
 * again, rt_optimizer_catch_up does what the steps in between would have done: weight decay, and the moments, which decay and
 * go on moving the weights. Tables take no memory for the moments of rows that never occur. */
#ifndef RT_TRAIN_OPTIMIZER_H
#define RT_TRAIN_OPTIMIZER_H

#include "engine/execute.h"
#include "grad/parameters.h"
#include "train/rate.h"

typedef struct rt_optimizer_options {
    rt_rate_plan plan;
    const double *factors; /* NULL, or of the learning rate of each parameter [parameters->count]; copied */
    double beta1, beta2, epsilon;
    double weight_decay; /* of matrices and tables; vectors have none */
    double clip;         /* largest norm of all gradients; 0: no limit */
} rt_optimizer_options;

typedef struct rt_moment {
    float *first, *second; /* matrices and vectors: [count]; tables: [slots, n] of rows that ever occurred */
    size_t slots, first_capacity, second_capacity;
    int32_t *slot; /* tables: [rows] where the moments of a row are, -1: it has none */
    int32_t *seen; /* tables: [rows] how many steps the row has done */
    double *kept;  /* tables: [steps + 1] what weight decay leaves of a weight up to each step */
    double factor; /* of the learning rate */
} rt_moment;

typedef struct rt_optimizer {
    rt_parameters *parameters; /* borrowed, as the kernels and the executor */
    const rt_kernels *kernels;
    rt_executor *executor; /* its threads take parts of the work */
    rt_optimizer_options options;
    rt_moment *moments; /* [parameters->count] */
    size_t step;        /* steps done */
    float *zeros;       /* a row's gradient where it has none */
    struct rt_block {   /* some of the gradients of a parameter: numbers, or rows of a table */
        size_t item, from, count;
        double squares; /* their sum */
    } * blocks;
    size_t block_count, block_capacity;
} rt_optimizer;

retort_status rt_optimizer_open(rt_optimizer *out, rt_parameters *parameters,
                                const rt_optimizer_options *options, const rt_kernels *kernels,
                                rt_executor *executor, retort_error *err);
void rt_optimizer_close(rt_optimizer *optimizer);
/* Before a forward pass reads rows of a table, ascending and each once. */
void rt_optimizer_catch_up(rt_optimizer *optimizer, size_t item, const int32_t *rows, size_t n);
/* All rows of all tables: before the weights are used for anything else. */
void rt_optimizer_settle(rt_optimizer *optimizer);
/* One step with the gradients of the parameters times min(1, clip / norm). *norm: of all gradients, its sum in a fixed order,
 * the same with any number of threads. RETORT_NONFINITE: names the first parameter whose gradient is not finite, and changes
 * nothing. */
retort_status rt_optimizer_step(rt_optimizer *optimizer, double *norm, retort_error *err);

/* Gives the first rows of a table moments, all zero: for reading a checkpoint. */
bool rt_optimizer_reserve(rt_optimizer *optimizer, size_t item, size_t slots);

#endif
