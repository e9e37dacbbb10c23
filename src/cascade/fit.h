/* SPDX-License-Identifier: Apache-2.0
 * Trains the linear stage of a cascade on another model's answers. */
#ifndef RT_CASCADE_FIT_H
#define RT_CASCADE_FIT_H

#include "base/memory.h"
#include "base/error.h"
#include "model/ngrams.h"

typedef struct rt_fit {
    const int32_t *ids;     /* the texts, concatenated */
    const int32_t *offsets; /* [n + 1] */
    size_t n, labels;
    const float *targets; /* [n, labels] probabilities, of a softmax */
    uint64_t seed;
    retort_progress_fn progress; /* may be NULL */
    void *user;
} rt_fit;

/* Its arrays are in the arena. The same bytes for the same data and seed, where exp of the C library is the same. */
retort_status rt_fit_ngrams(rt_ngrams *out, rt_arena *arena, const rt_fit *fit, retort_error *err);

#endif
