/* SPDX-License-Identifier: Apache-2.0
 * The learning rate over a training: up in a line, then down. */
#ifndef RT_TRAIN_RATE_H
#define RT_TRAIN_RATE_H

#include "retort.h"

typedef struct rt_rate_plan {
    double rate;   /* the highest learning rate */
    double warmup; /* share of the steps, in [0, 1) */
    retort_decay decay;
    size_t steps; /* of the whole training */
} rt_rate_plan;

/* Of step `step`, from 0; 0 after the last one unless it is constant. With n steps of warm-up, step i of them has i/n of the
 * rate, as in the schedules of transformers, whose first step does nothing. */
double rt_rate_at(const rt_rate_plan *plan, size_t step);
/* Steps of the warm-up. */
size_t rt_rate_warmup(const rt_rate_plan *plan);

#endif
