/* SPDX-License-Identifier: Apache-2.0
 * The driver: rewrites in the order of their rows, each level to a fixed point. */
#include "graph/rewrite.h"

/* One row a rewrite, from RT_REWRITES. */
static const struct rewrite {
    retort_status (*apply)(rt_graph *graph, size_t *count, retort_error *err);
    const char *name;
    int level;
} rewrites[] = {
#define REWRITE_ROW(function, text, level) {rt_rewrite_##function, text, level},
    RT_REWRITES(REWRITE_ROW)
#undef REWRITE_ROW
};
enum {
    REWRITE_COUNT = sizeof rewrites / sizeof *rewrites,
    MAX_PASSES = 64 /* over a level's rows; two or three are needed */
};

typedef struct run {
    rt_graph *graph;
    bool verify;
    retort_rewrite_fn report;
    void *user;
    size_t applied; /* of the level so far */
} run;

static void report(const run *r, const char *name, int level, size_t count, size_t before) {
    retort_rewrite_info info = {level, name, count, before, r->graph->node_count};
    if (r->report != NULL) r->report(r->user, &info);
}

static retort_status run_row(run *r, const struct rewrite *row, retort_error *err) {
    size_t count = 0, before = r->graph->node_count;
    retort_status status = row->apply(r->graph, &count, err);
    if (status == RETORT_OK && count > 0 && r->verify) status = rt_graph_verify(r->graph, err);
    if (status != RETORT_OK) return rt_fail_in(err, status, row->name);
    if (count > 0) report(r, row->name, row->level, count, before);
    r->applied += count;
    return RETORT_OK;
}

/* All rows of a level, again and again until none of them applies. */
static retort_status run_level(run *r, int level, retort_error *err) {
    size_t before = r->graph->node_count, applied = 0;
    bool changed = true;
    r->graph->level = level;
    for (int pass = 0; changed; pass++) {
        if (pass == MAX_PASSES) {
            return rt_fail(err, RETORT_LIMIT, "level %d: rewrites still apply after %d passes", level, pass);
        }
        r->applied = 0;
        for (size_t i = 0; i < REWRITE_COUNT; i++) {
            retort_status status = rewrites[i].level == level ? run_row(r, &rewrites[i], err) : RETORT_OK;
            if (status != RETORT_OK) return status;
        }
        changed = r->applied > 0;
        applied += r->applied;
    }
    report(r, NULL, level, applied, before);
    return rt_graph_verify(r->graph, err);
}

retort_status rt_graph_optimize(rt_graph *graph, int level, bool verify, retort_rewrite_fn report_fn,
                                void *user, retort_error *err) {
    if (level < graph->level || level > 3) {
        return rt_fail(err, RETORT_ARGUMENT, "level %d: this graph has level %d, and 3 is the highest", level,
                       graph->level);
    }
    run r = {.graph = graph, .verify = verify, .report = report_fn, .user = user};
    for (int next = graph->level + 1; next <= level; next++) {
        int reached = graph->level;
        retort_status status = run_level(&r, next, err);
        if (status != RETORT_OK) {
            graph->level = reached;
            return status;
        }
    }
    return RETORT_OK;
}
