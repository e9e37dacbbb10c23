/* SPDX-License-Identifier: Apache-2.0
 * The stages of a cascade, as a model holds them. */
#ifndef RT_MODEL_STAGES_H
#define RT_MODEL_STAGES_H

#include "base/memory.h"
#include "model/ngrams.h"
#include "retort.h"

enum { RT_MOST_STAGES = 7 /* before the full model */ };

typedef struct rt_stage {
    retort_model *model; /* retained; NULL: on n-grams */
    rt_ngrams ngrams;    /* its arrays are in the arena of the cascade, or mapped */
    double threshold;    /* of the largest softmax probability: it answers from here on */
    double share;        /* of the texts that were calibrated with */
    double test_share;   /* of those that the report is about */
} rt_stage;

typedef struct rt_cascade {
    rt_stage stages[RT_MOST_STAGES]; /* cheapest first */
    size_t count;
    double share, test_share; /* of the full model */
    retort_cascade_info info; /* its `stages` is not set */
    rt_arena arena;
} rt_cascade;

#endif
