/* SPDX-License-Identifier: Apache-2.0 */
#include "cascade/thresholds.h"

#include "base/binomial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

rt_outcome rt_cascade_outcome(const rt_verdicts *v, const rt_thresholds *thresholds) {
    rt_outcome out = {0};
    for (size_t i = 0; i < v->rows; i++) {
        size_t stage = 0;
        while (stage < v->stages && !(v->sure[stage][i] >= thresholds->of[stage])) stage++;
        out.answered[stage]++;
        out.differ += stage < v->stages && v->label[stage][i] != v->full[i];
    }
    return out;
}

/* Work of all texts; a stage that may answer runs on all that no earlier one answered. */
static double work_of(const rt_verdicts *v, const double *cost, unsigned used, const rt_outcome *outcome) {
    double work = 0;
    size_t left = v->rows;
    for (size_t i = 0; i < v->stages; i++) {
        if ((used >> i & 1) == 0) continue;
        work += cost[i] * (double)left;
        left -= outcome->answered[i];
    }
    return work + cost[v->stages] * (double)left;
}

/* ---- The path ---- */

/* Levels of a stage: quantiles of how sure it is, strict to lax, the last 0. */
enum { LEVELS = 200 };
typedef struct ladder {
    double levels[LEVELS];
    size_t count, at; /* at: the next one */
} ladder;

static int compare_down(const void *left, const void *right) {
    const double *a = left, *b = right;
    return (*a < *b) - (*a > *b);
}

static retort_status make_ladder(ladder *out, const double *sure, size_t rows, retort_error *err) {
    double *sorted = rt_calloc(rows, sizeof *sorted), last = RT_NEVER;
    if (sorted == NULL) return rt_fail_nomem(err, rows * sizeof *sorted);
    if (rows > 0) memcpy(sorted, sure, rows * sizeof *sorted);
    qsort(sorted, rows, sizeof *sorted, compare_down);
    *out = (ladder){0};
    for (size_t i = 1; i < LEVELS && rows > 0; i++) {
        double level = sorted[(rows * i + LEVELS - 1) / LEVELS - 1];
        if (level < last) out->levels[out->count++] = last = level;
    }
    out->levels[out->count++] = 0;
    free(sorted);
    return RETORT_OK;
}

/* What the best step is: that which saves most work per answer that differs. */
typedef struct step {
    size_t stage;
    double gain;
    rt_outcome outcome;
} step;

static bool best_step(step *out, const rt_verdicts *v, const double *cost, unsigned used,
                      const ladder *ladders, const rt_thresholds *now, const rt_outcome *before) {
    double work = work_of(v, cost, used, before);
    out->gain = -INFINITY;
    for (size_t i = 0; i < v->stages; i++) {
        if ((used >> i & 1) == 0 || ladders[i].at == ladders[i].count) continue;
        rt_thresholds next = *now;
        next.of[i] = ladders[i].levels[ladders[i].at];
        rt_outcome outcome = rt_cascade_outcome(v, &next);
        double saved = work - work_of(v, cost, used, &outcome),
               wrong = outcome.differ > before->differ ? (double)(outcome.differ - before->differ) : 0;
        double gain = saved / (wrong + 0.5); /* half an answer: none of few is no proof of none */
        if (gain > out->gain) *out = (step){i, gain, outcome};
    }
    return out->gain > -INFINITY;
}

retort_status rt_path_lay(rt_path *out, const rt_verdicts *v, const double *cost, unsigned used,
                          double epsilon, double *best, retort_error *err) {
    ladder *ladders = rt_calloc(v->stages, sizeof *ladders);
    retort_status status = ladders != NULL ? RETORT_OK : rt_fail_nomem(err, v->stages * sizeof *ladders);
    rt_thresholds now;
    for (size_t i = 0; i < RT_MOST_STAGES; i++) now.of[i] = RT_NEVER;
    for (size_t i = 0; status == RETORT_OK && i < v->stages; i++)
        status = make_ladder(&ladders[i], v->sure[i], v->rows, err);
    rt_outcome before = rt_cascade_outcome(v, &now);
    step next;
    *out = (rt_path){0};
    *best = work_of(v, cost, 0, &before);
    while (status == RETORT_OK && best_step(&next, v, cost, used, ladders, &now, &before)) {
        now.of[next.stage] = ladders[next.stage].levels[ladders[next.stage].at++];
        before = next.outcome;
        if (!rt_grow((void **)&out->steps, &out->capacity, out->count + 1, sizeof *out->steps))
            status = rt_fail_nomem(err, (out->count + 1) * sizeof *out->steps);
        if (status == RETORT_OK) out->steps[out->count++] = now;
        if ((double)before.differ <= epsilon * (double)v->rows)
            *best = fmin(*best, work_of(v, cost, used, &before));
    }
    free(ladders);
    if (status != RETORT_OK) rt_path_free(out);
    return status;
}

void rt_path_free(rt_path *path) {
    free(path->steps);
    *path = (rt_path){0};
}

/* ---- The tests ---- */

rt_thresholds rt_path_test(const rt_path *path, const rt_verdicts *v, double epsilon, double confidence) {
    rt_thresholds passed;
    for (size_t i = 0; i < RT_MOST_STAGES; i++) passed.of[i] = RT_NEVER;
    for (size_t i = 0; i < path->count && v->rows > 0; i++) {
        rt_outcome outcome = rt_cascade_outcome(v, &path->steps[i]);
        if (rt_binomial_upper(outcome.differ, v->rows, confidence) > epsilon) break;
        passed = path->steps[i];
    }
    return passed;
}
