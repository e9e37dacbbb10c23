/* SPDX-License-Identifier: Apache-2.0
 * A pruning in progress: its budgets, and one round. */
#ifndef RT_PRUNE_PRUNER_H
#define RT_PRUNE_PRUNER_H

#include "model/model.h"
#include "prune/probe.h"
#include "quant/importance.h"

/* What is shared out: units of one kind, or the time of all modules. */
typedef struct rt_prune_budget {
    bool heads, ffn;      /* whose modules it is for */
    bool seconds;         /* costs are seconds, else units */
    double whole, target; /* of all its modules: dense, and at the end */
} rt_prune_budget;

enum { RT_PRUNE_BUDGETS = 2, RT_PRUNE_TIMES = 8 };

typedef struct rt_pruner {
    const retort_prune_options *options;
    retort_model *dense, *now; /* owned */
    rt_probe probe;
    rt_importance importance; /* of the dense model's outputs; empty where there are no gradients */
    rt_prune_budget budgets[RT_PRUNE_BUDGETS];
    size_t budget_count;
    /* Seconds of module i of `now`, before the rounds, with (j + 1) / RT_PRUNE_TIMES of its units, at [i][j]. */
    double (*seconds)[RT_PRUNE_TIMES];
    size_t *dense_units;     /* [modules] of these */
    double fixed, time_left; /* seconds of the rest; share of the time at the end, NAN: not measured */
    const char *doing;
    size_t done, total;
} rt_pruner;

void rt_pruner_free(rt_pruner *p);
/* Reports progress; may cancel. Keeps the pointer `what`. */
retort_status rt_pruner_report(rt_pruner *p, const char *what, size_t done, size_t total, retort_error *err);
retort_status rt_pruner_pause(void *user, retort_error *err);
/* Units of a kind in all modules of the dense model. */
size_t rt_pruner_units(const rt_pruner *p, rt_prune_kind kind);
/* p->importance. */
retort_status rt_pruner_weigh(rt_pruner *p, retort_error *err);
/* p->budgets, from the options and p->now. */
retort_status rt_pruner_plan(rt_pruner *p, retort_error *err);
/* One of several rounds: p->now becomes what their budgets allow after it. */
retort_status rt_pruner_round(rt_pruner *p, size_t round, size_t rounds, retort_error *err);

#endif
