/* SPDX-License-Identifier: Apache-2.0
 * The thresholds of a cascade, from what its stages answer to some texts.
 *
 * A path orders thresholds from strict to lax. It is laid on texts of its own: each step loosens the stage that saves most work
 * for each answer that is then wrong. On other texts, the steps are tested in that order, and the first at which the upper
 * bound of the share of differing answers exceeds epsilon ends it. Because the order is fixed before, each test may use the whole
 * error probability: fixed-sequence testing (Angelopoulos et al., Learn then Test, 2110.01052). */
#ifndef RT_CASCADE_THRESHOLDS_H
#define RT_CASCADE_THRESHOLDS_H

#include "base/memory.h"
#include "base/error.h"
#include "model/stages.h"

/* What `stages` stages answer to `rows` texts, and the full model. */
typedef struct rt_verdicts {
    size_t rows, stages;
    const double *sure[RT_MOST_STAGES];   /* [rows] largest softmax probability */
    const int32_t *label[RT_MOST_STAGES]; /* [rows] */
    const int32_t *full;                  /* [rows] the full model's labels */
} rt_verdicts;

/* A threshold that no probability reaches: the stage answers nothing. */
#define RT_NEVER 2.0
typedef struct rt_thresholds {
    double of[RT_MOST_STAGES];
} rt_thresholds;

/* What a cascade with these thresholds does. */
typedef struct rt_outcome {
    size_t answered[RT_MOST_STAGES + 1]; /* by each stage, and by the full model */
    size_t differ;                       /* answers that are not the full model's */
} rt_outcome;
rt_outcome rt_cascade_outcome(const rt_verdicts *verdicts, const rt_thresholds *thresholds);

typedef struct rt_path {
    rt_thresholds *steps; /* [count] strict to lax */
    size_t count, capacity;
} rt_path;
/* cost [stages + 1]: work of each stage, and of the full model. Only the stages in `used` (bit i) are loosened; the others
 * never answer. *best: the least work per text within epsilon on these texts. */
retort_status rt_path_lay(rt_path *out, const rt_verdicts *verdicts, const double *cost, unsigned used,
                          double epsilon, double *best, retort_error *err);
void rt_path_free(rt_path *path);
/* The laxest thresholds that pass; all RT_NEVER if the first step fails. */
rt_thresholds rt_path_test(const rt_path *path, const rt_verdicts *verdicts, double epsilon,
                           double confidence);

#endif
