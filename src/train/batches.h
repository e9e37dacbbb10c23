/* SPDX-License-Identifier: Apache-2.0
 * The examples in batches: each epoch in an order of its own, which depends on nothing but the seed and the epoch, so that
 * any step of a training can be taken up again. */
#ifndef RT_TRAIN_BATCHES_H
#define RT_TRAIN_BATCHES_H

#include "engine/prepare.h"
#include "train/examples.h"

typedef struct rt_batches {
    const rt_examples *examples; /* borrowed */
    size_t batch;                /* examples per step; the last step of an epoch may have fewer */
    size_t steps;                /* of an epoch */
    double
        mix; /* share of the sequences in which a span becomes one of another; 0 after opening, to be set */
    uint64_t seed;
    size_t step;   /* of the current batch */
    size_t epoch;  /* that `order` is of */
    size_t *order; /* [examples->count] */
    /* The sequences of the current batch, as rt_prepare takes them. */
    int32_t *ids, *types, *offsets;
    size_t id_capacity, type_capacity, offset_capacity;
} rt_batches;

retort_status rt_batches_open(rt_batches *out, const rt_examples *examples, size_t batch, uint64_t seed,
                              retort_error *err);
void rt_batches_free(rt_batches *batches);
/* The examples of step `step` (from 0) of the training: *which [n]. */
void rt_batches_at(rt_batches *batches, size_t step, const size_t **which, size_t *n);
/* Their sequences, one after the other: of RT_TARGET_PAIR all first ones, then all second ones. Valid until the next
 * call. */
retort_status rt_batches_sequences(rt_batches *batches, const size_t *which, size_t n, rt_batch *out,
                                   retort_error *err);

#endif
