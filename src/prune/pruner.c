/* SPDX-License-Identifier: Apache-2.0
 * Budgets, and what they are measured with. */
#include "prune/pruner.h"
#include "grad/tape.h"

#include <math.h>
#include <stdlib.h>

void rt_pruner_free(rt_pruner *p) {
    rt_probe_free(&p->probe);
    rt_importance_free(&p->importance);
    free(p->seconds);
    free(p->dense_units);
    retort_model_free(p->now);
    retort_model_free(p->dense);
    *p = (rt_pruner){0};
}

retort_status rt_pruner_pause(void *user, retort_error *err) {
    const rt_pruner *p = user;
    retort_progress_fn progress = p->options->progress;
    if (progress == NULL || p->doing == NULL) return RETORT_OK;
    return progress(p->options->user, p->doing, p->done, p->total) == 0
               ? RETORT_OK
               : rt_fail(err, RETORT_CANCELLED, "prune: cancelled");
}

retort_status rt_pruner_report(rt_pruner *p, const char *what, size_t done, size_t total, retort_error *err) {
    p->doing = what;
    p->done = done;
    p->total = total;
    return rt_pruner_pause(p, err);
}

size_t rt_pruner_units(const rt_pruner *p, rt_prune_kind kind) {
    rt_prune_modules modules;
    retort_error ignored;
    size_t units = 0;
    if (rt_prune_modules_find(&modules, &p->dense->graph, &ignored) != RETORT_OK) return 0;
    for (size_t i = 0; i < modules.count; i++)
        units += modules.items[i].kind == kind ? modules.items[i].units : 0;
    rt_prune_modules_free(&modules);
    return units;
}

/* Without gradients, all outputs count alike. */
retort_status rt_pruner_weigh(rt_pruner *p, retort_error *err) {
    const rt_graph *graph = &p->dense->graph;
    for (size_t i = 0; i < graph->node_count; i++) {
        if (!rt_tape_has_back(graph->nodes[i].op)) return RETORT_OK;
    }
    retort_status status = rt_pruner_report(p, "importance", 0, 1, err);
    if (status != RETORT_OK) return status;
    return rt_importance_make(&p->importance, &p->probe.texts, p->probe.pool, p->options->seed, err);
}

/* ---- Time ---- */

/* p->now with a part of the units of every module, whichever: only its time counts. */
static retort_status shrink(retort_model **out, const rt_pruner *p, size_t part, retort_error *err) {
    rt_prune_modules modules = {0};
    retort_status status = rt_model_derive(out, p->now, err);
    if (status == RETORT_OK) status = rt_prune_modules_find(&modules, &(*out)->graph, err);
    for (size_t i = 0; status == RETORT_OK && i < modules.count; i++) {
        const rt_prune_module *m = &modules.items[i];
        size_t count = rt_max(m->units * part / RT_PRUNE_TIMES, 1);
        uint32_t *kept = rt_calloc(count, sizeof *kept);
        if (kept == NULL) status = rt_fail_nomem(err, count * sizeof *kept);
        for (size_t j = 0; kept != NULL && j < count; j++) kept[j] = (uint32_t)j;
        if (status == RETORT_OK) status = rt_prune_cut(&(*out)->graph, m, kept, count, NULL, NULL, err);
        free(kept);
    }
    rt_prune_modules_free(&modules);
    return status;
}

/* Seconds of each module with one part of its units into p->seconds. */
static retort_status time_part(rt_pruner *p, size_t part, double *seconds, double *whole, retort_error *err) {
    retort_model *model = NULL;
    rt_prune_modules modules = {0};
    retort_status status = shrink(&model, p, part, err);
    if (status == RETORT_OK) status = rt_prune_modules_find(&modules, &model->graph, err);
    if (status == RETORT_OK) status = rt_probe_time(&p->probe, model, &modules, seconds, whole, err);
    for (size_t i = 0; status == RETORT_OK && i < modules.count; i++) p->seconds[i][part - 1] = seconds[i];
    rt_prune_modules_free(&modules);
    retort_model_free(model);
    return status;
}

static retort_status time_all(rt_pruner *p, const rt_prune_modules *modules, double *whole,
                              retort_error *err) {
    double *seconds = rt_calloc(modules->count, sizeof *seconds);
    retort_status status = seconds != NULL ? RETORT_OK : rt_fail_nomem(err, modules->count * sizeof *seconds);
    for (size_t part = RT_PRUNE_TIMES; status == RETORT_OK && part > 0; part--) {
        double all = 0;
        status = rt_pruner_report(p, "times", RT_PRUNE_TIMES - part, RT_PRUNE_TIMES, err);
        if (status == RETORT_OK) status = time_part(p, part, seconds, &all, err);
        if (part == RT_PRUNE_TIMES) *whole = all;
    }
    free(seconds);
    return status;
}

/* Seconds of the whole dense model, with the layers that p->now may lack. */
static retort_status time_dense(rt_pruner *p, double *whole, retort_error *err) {
    rt_prune_modules modules;
    retort_status status = rt_prune_modules_find(&modules, &p->dense->graph, err);
    double *seconds = status == RETORT_OK ? rt_calloc(modules.count, sizeof *seconds) : NULL;
    if (status == RETORT_OK && seconds == NULL) status = rt_fail_nomem(err, modules.count * sizeof *seconds);
    if (status == RETORT_OK) status = rt_probe_time(&p->probe, p->dense, &modules, seconds, whole, err);
    free(seconds);
    rt_prune_modules_free(&modules);
    return status;
}

/* The budget of all modules: what is left of the time after the steps that do not shrink. */
static retort_status plan_time(rt_pruner *p, const rt_prune_modules *modules, retort_error *err) {
    double whole = 0, dense = 0, sum = 0;
    retort_status status = time_all(p, modules, &whole, err);
    if (status == RETORT_OK) status = time_dense(p, &dense, err);
    if (status != RETORT_OK) return status;
    for (size_t i = 0; i < modules->count; i++) sum += p->seconds[i][RT_PRUNE_TIMES - 1];
    p->fixed = whole - sum;
    p->budgets[p->budget_count++] =
        (rt_prune_budget){true, true, true, sum, p->options->time * dense - p->fixed};
    p->time_left = whole / dense;
    if (p->budgets[0].target > 0) return RETORT_OK;
    return rt_fail(
        err, RETORT_ARGUMENT,
        "prune: %.0f %% of the time cannot be reached: embeddings, norms, rounding and the head take %.0f %%",
        100 * p->options->time, 100 * p->fixed / dense);
}

/* ---- Budgets ---- */

static void plan_units(rt_pruner *p, const rt_prune_modules *modules, rt_prune_kind kind, double target) {
    double whole = 0;
    for (size_t i = 0; i < modules->count; i++)
        whole += modules->items[i].kind == kind ? (double)modules->items[i].units : 0;
    bool heads = kind == RT_PRUNE_HEADS;
    p->budgets[p->budget_count++] =
        (rt_prune_budget){heads, !heads, false, whole, heads ? target : target * whole};
}

retort_status rt_pruner_plan(rt_pruner *p, retort_error *err) {
    const retort_prune_options *o = p->options;
    rt_prune_modules modules;
    retort_status status = rt_prune_modules_find(&modules, &p->now->graph, err);
    if (status != RETORT_OK) return status;
    p->seconds = rt_calloc(modules.count, sizeof *p->seconds);
    p->dense_units = rt_calloc(modules.count, sizeof *p->dense_units);
    if (p->seconds == NULL || p->dense_units == NULL)
        status = rt_fail_nomem(err, modules.count * sizeof *p->seconds);
    for (size_t i = 0; status == RETORT_OK && i < modules.count; i++)
        p->dense_units[i] = modules.items[i].units;
    double layers = (double)rt_prune_layer_count(&p->now->graph);
    if (status == RETORT_OK && o->heads > 0) plan_units(p, &modules, RT_PRUNE_HEADS, o->heads * layers);
    if (status == RETORT_OK && o->ffn > 0) plan_units(p, &modules, RT_PRUNE_FFN, o->ffn);
    if (status == RETORT_OK && o->time > 0) status = plan_time(p, &modules, err);
    rt_prune_modules_free(&modules);
    return status;
}
