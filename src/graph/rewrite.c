/* SPDX-License-Identifier: Apache-2.0
 * Runs the rewrites in the order of their rows, each level to a fixed point. */
#include "graph/rewrite.h"
#include "graph/links.h"

#include <string.h>

/* One row per rewrite, from RT_REWRITES. */
static const struct rewrite {
    retort_status (*apply)(rt_graph *graph, size_t *count, retort_error *err);
    const char *name, *text;
    int level;
    bool needed; /* the level requires it */
} rewrites[] = {
#define REWRITE_ROW(function, name, text, level, needed) {rt_rewrite_##function, name, text, level, needed},
    RT_REWRITES(REWRITE_ROW)
#undef REWRITE_ROW
};
enum {
    REWRITE_COUNT = sizeof rewrites / sizeof *rewrites,
    MAX_PASSES = 64 /* passes over the rows of a level; two or three are needed */
};

const char *retort_rewrite(size_t index, const char **help, int *level) {
    if (index >= REWRITE_COUNT) return NULL;
    if (help != NULL) *help = rewrites[index].text;
    if (level != NULL) *level = rewrites[index].level;
    return rewrites[index].name;
}

typedef struct run {
    rt_graph *graph;
    const retort_optimize_options *options;
    bool verify;
    bool left_out[REWRITE_COUNT];
    size_t applied; /* of the level so far */
} run;

/* ---- Rewrites left out ---- */

static retort_status unknown_rewrite(const char *name, retort_error *err) {
    rt_buffer known = {0};
    for (size_t i = 0; i < REWRITE_COUNT; i++) {
        rt_buffer_format(&known, "%s%s", i > 0 ? ", " : "", rewrites[i].name);
    }
    rt_fail(err, RETORT_ARGUMENT, "no rewrite '%.40s'; there is %s", name, known.failed ? "" : known.data);
    rt_buffer_free(&known);
    return RETORT_ARGUMENT;
}

/* Its row, or REWRITE_COUNT. */
static size_t row_of(const char *name) {
    size_t i = 0;
    while (i < REWRITE_COUNT && strcmp(rewrites[i].name, name) != 0) i++;
    return i;
}

static retort_status leave_out(run *r, const char *name, retort_error *err) {
    size_t i = row_of(name);
    if (i == REWRITE_COUNT) return unknown_rewrite(name, err);
    int level = rewrites[i].level;
    if (level <= r->graph->level) {
        return rt_fail(
            err, RETORT_ARGUMENT,
            "%s is a rewrite of level %d, and the graph is of level %d already: start from a lower one", name,
            level, r->graph->level);
    }
    if (rewrites[i].needed && level <= r->options->level) {
        return rt_fail(err, RETORT_ARGUMENT, "%s cannot be left out of level %d: level %d is without it",
                       name, level, level - 1);
    }
    r->left_out[i] = true;
    return RETORT_OK;
}

/* Adds to the error of a level which of its rewrites were left out. */
static retort_status fail_without(const run *r, retort_status status, retort_error *err) {
    rt_buffer names = {0};
    for (size_t i = 0; i < REWRITE_COUNT; i++) {
        if (r->left_out[i])
            rt_buffer_format(&names, "%s%s", names.length > 0 ? "," : "without ", rewrites[i].name);
    }
    if (names.length > 0 && !names.failed) status = rt_fail_in(err, status, names.data);
    rt_buffer_free(&names);
    return status;
}

/* ---- The levels ---- */

static void report(const run *r, const struct rewrite *row, int level, size_t count, size_t before) {
    retort_rewrite_info info = {.size = sizeof info,
                                .level = level,
                                .count = count,
                                .nodes_before = before,
                                .nodes_after = r->graph->node_count};
    if (row != NULL) {
        info.rewrite = row->name;
        info.help = row->text;
    }
    if (r->options->report != NULL) r->options->report(r->options->user, &info);
}

static retort_status run_row(run *r, const struct rewrite *row, retort_error *err) {
    size_t count = 0, before = r->graph->node_count;
    retort_status status = row->apply(r->graph, &count, err);
    if (status == RETORT_OK && count > 0 && r->verify) status = rt_graph_verify(r->graph, err);
    if (status != RETORT_OK) return rt_fail_in(err, status, row->name);
    if (count > 0) report(r, row, row->level, count, before);
    r->applied += count;
    return RETORT_OK;
}

/* Runs all rows of a level until none of them applies. */
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
            if (rewrites[i].level != level || r->left_out[i]) continue;
            retort_status status = run_row(r, &rewrites[i], err);
            if (status != RETORT_OK) return status;
        }
        changed = r->applied > 0;
        applied += r->applied;
    }
    report(r, NULL, level, applied, before);
    return rt_graph_verify(r->graph, err);
}

retort_status rt_graph_optimize(rt_graph *graph, const retort_optimize_options *options, bool verify,
                                retort_error *err) {
    if (options->level < graph->level || options->level > 3) {
        return rt_fail(err, RETORT_ARGUMENT, "level %d: expected %d, the level of the graph, to 3",
                       options->level, graph->level);
    }
    run r = {.graph = graph, .options = options, .verify = verify};
    for (size_t i = 0; i < options->without_count; i++) {
        retort_status status = leave_out(&r, options->without[i], err);
        if (status != RETORT_OK) return status;
    }
    retort_status status = RETORT_OK;
    for (int next = graph->level + 1; status == RETORT_OK && next <= options->level; next++) {
        int reached = graph->level;
        status = run_level(&r, next, err);
        if (status == RETORT_OK) continue;
        graph->level = reached;
        status = fail_without(&r, status, err);
    }
    rt_links_free(graph);
    return status;
}

retort_status rt_graph_apply(rt_graph *graph, const char *const *names, size_t count, retort_error *err) {
    const retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    run r = {.graph = graph, .options = &options};
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < count; i++) {
        size_t row = row_of(names[i]);
        status = row < REWRITE_COUNT ? run_row(&r, &rewrites[row], err) : unknown_rewrite(names[i], err);
    }
    if (status == RETORT_OK) status = rt_graph_verify(graph, err);
    rt_links_free(graph);
    return status;
}
