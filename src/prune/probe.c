/* SPDX-License-Identifier: Apache-2.0 */
#include "prune/probe.h"
#include "eval/metric.h"
#include "quant/quantize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FEW = 256 /* texts whose answers are compared */,
    TIMED = 48,
    PASSES = 9 /* the least counts: short ones are less often disturbed */
};

static rt_batch first_texts(const rt_probe *p, size_t n) {
    const rt_feed *feed = &p->texts.texts;
    bool types = rt_config_has_types(&p->texts.model->config);
    return (rt_batch){feed->ids, types ? feed->types : NULL, feed->offsets, n, feed->unpooled};
}

static retort_status pause_of(const rt_probe *p, retort_error *err) {
    return p->pause != NULL ? p->pause(p->pause_user, err) : RETORT_OK;
}

/* ---- Answers ---- */

/* Runs the first texts through a model, whose answers stay valid until the session is closed. */
static retort_status answer(const rt_probe *p, retort_model *model, retort_session **session,
                            retort_matrix *out, retort_error *err) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = p->threads;
    rt_batch batch = first_texts(p, p->few);
    *session = NULL;
    retort_status status = pause_of(p, err);
    if (status == RETORT_OK) status = retort_session_open(session, model, &options, err);
    return status == RETORT_OK ? rt_session_run(*session, &batch, out, err) : status;
}

/* Sum over i of (a - b)^2, and of a^2. */
static void add_squares(const float *a, const float *b, size_t n, double *lost, double *all) {
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        *lost += d * d;
        *all += (double)a[i] * (double)a[i];
    }
}

/* KL at a temperature: rows are divided by it, in place. */
static double divergence(const rt_probe *p, float *dense, float *row, double temperature, bool yes_no) {
    for (size_t j = 0; j < p->columns; j++) {
        dense[j] = (float)((double)dense[j] / temperature);
        row[j] = (float)((double)row[j] / temperature);
    }
    return yes_no ? rt_divergence_yes_no(dense, row, p->columns) : rt_divergence(dense, row, p->columns, 1);
}

static retort_status loss_of(const rt_probe *p, const float *rows, double temperature, double *loss,
                             retort_error *err) {
    const rt_config *config = &p->texts.model->config;
    bool yes_no = config->task == RETORT_TASK_CLASSIFY && config->problem == RETORT_PROBLEM_MULTI_LABEL;
    size_t n = p->columns;
    double lost = 0, all = 0;
    if (!rt_config_has_softmax(config) && !yes_no) {
        add_squares(p->logits, rows, p->rows * n, &lost, &all);
        *loss = all > 0 ? lost / all : lost;
        return RETORT_OK;
    }
    float *pair = rt_calloc(2 * n, sizeof *pair);
    if (pair == NULL) return rt_fail_nomem(err, 2 * n * sizeof *pair);
    for (size_t i = 0; i < p->rows; i++) {
        memcpy(pair, p->logits + i * n, n * sizeof *pair);
        memcpy(pair + n, rows + i * n, n * sizeof *pair);
        lost += divergence(p, pair, pair + n, temperature, yes_no);
    }
    free(pair);
    *loss = lost / (double)p->rows;
    return RETORT_OK;
}

retort_status rt_probe_loss(const rt_probe *p, retort_model *model, double temperature, double *loss,
                            retort_error *err) {
    retort_session *session;
    retort_matrix out;
    retort_status status = answer(p, model, &session, &out, err);
    if (status == RETORT_OK) status = loss_of(p, out.data, temperature, loss, err);
    if (status == RETORT_NONFINITE) { /* as bad as can be, and no reason to stop */
        *loss = INFINITY;
        status = RETORT_OK;
    }
    retort_session_close(session);
    return status;
}

static retort_status keep_answers(rt_probe *p, retort_model *dense, retort_error *err) {
    retort_session *session;
    retort_matrix out;
    size_t count = 0;
    retort_status status = answer(p, dense, &session, &out, err);
    if (status == RETORT_OK) {
        p->rows = out.rows;
        p->columns = out.columns;
        bool fits = rt_mul(out.rows, out.columns, &count);
        p->logits = fits ? rt_calloc(count, sizeof *p->logits) : NULL;
        if (p->logits == NULL) status = rt_fail_nomem(err, count * sizeof *p->logits);
    }
    if (status == RETORT_OK) memcpy(p->logits, out.data, count * sizeof *p->logits);
    retort_session_close(session);
    return status;
}

/* ---- Opening ---- */

retort_status rt_probe_open(rt_probe *out, const retort_model *dense, const retort_dataset *data,
                            size_t samples, uint64_t seed, int threads, retort_error *err) {
    *out = (rt_probe){.threads = threads};
    retort_status status = rt_calibration_open(&out->texts, dense, data, samples, seed, err);
    if (status == RETORT_OK) status = rt_thread_pool_open(&out->pool, threads, err);
    out->few = rt_min(out->texts.texts.n, FEW);
    if (status == RETORT_OK)
        status = keep_answers(out, (retort_model *)(uintptr_t)dense, err); /* a session counts as an owner */
    if (status != RETORT_OK) rt_probe_free(out);
    return status;
}

void rt_probe_free(rt_probe *probe) {
    rt_calibration_free(&probe->texts);
    rt_thread_pool_close(probe->pool);
    free(probe->logits);
    *probe = (rt_probe){0};
}

/* ---- Rows ---- */

typedef struct watcher {
    const rt_probe *probe;
    const char *const *names;
    size_t count;
    rt_probe_fn see;
    void *user;
    retort_status status;
    retort_error *err;
} watcher;

static int watch(void *user, const retort_tapped *tapped) {
    watcher *w = user;
    for (size_t i = 0; w->status == RETORT_OK && i < w->count; i++) {
        if (strcmp(tapped->name, w->names[i]) != 0 || tapped->in.data == NULL) continue;
        w->status = pause_of(w->probe, w->err);
        if (w->status == RETORT_OK) w->status = w->see(w->user, tapped, i, w->err);
    }
    return w->status != RETORT_OK;
}

retort_status rt_probe_rows(const rt_probe *p, retort_model *model, const char *const *names, size_t count,
                            rt_probe_fn see, void *user, retort_error *err) {
    watcher w = {p, names, count, see, user, RETORT_OK, err};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = p->threads;
    options.tap = watch;
    options.tap_user = &w;
    rt_batch batch = first_texts(p, p->texts.texts.n);
    retort_session *session = NULL;
    retort_matrix out;
    retort_error why = {0};
    retort_status status = retort_session_open(&session, model, &options, &why);
    if (status == RETORT_OK) status = rt_session_run(session, &batch, &out, &why);
    if (status == RETORT_NONFINITE) status = RETORT_OK;
    if (w.status != RETORT_OK)
        status = w.status; /* *err says why */
    else if (status != RETORT_OK && err != NULL)
        *err = why;
    retort_session_close(session);
    return status;
}

/* ---- Time ---- */

/* Whether a step is a node, or rounds what it makes: "layer.0.ffn.lin1.quantize". */
static bool is_step_of(const char *step, const char *node) {
    size_t length = strlen(node);
    return strncmp(step, node, length) == 0 &&
           (step[length] == '\0' || strcmp(step + length, ".quantize") == 0);
}

/* The module that a step belongs to: the nodes of its columns and `out`; modules->count: none. */
static size_t module_of(const rt_graph *graph, const rt_prune_modules *modules, const char *name) {
    for (size_t i = 0; i < modules->count; i++) {
        const rt_prune_module *m = &modules->items[i];
        int nodes[] = {m->out, m->attention, m->values, -1, -1, -1};
        for (int j = 0; j < m->source_count; j++) nodes[3 + j] = m->sources[j];
        for (size_t j = 0; j < sizeof nodes / sizeof *nodes; j++) {
            if (nodes[j] >= 0 && is_step_of(name, graph->nodes[nodes[j]].name)) return i;
        }
    }
    return modules->count;
}

/* Adds the seconds of the steps so far, negative to begin with: of each module, and at last of the rest. */
static void add_steps(const retort_session *session, const rt_graph *graph, const rt_prune_modules *modules,
                      double sign, double *seconds) {
    retort_step_info step = {.size = sizeof step};
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++)
        seconds[module_of(graph, modules, step.name)] += sign * step.seconds;
}

/* least [modules->count + 1]: of each module, and of the rest, in all passes but the first. Each on its own: what another process
 * adds to one step of a pass does not count for the others. */
static retort_status time_passes(const rt_probe *p, retort_session *session, const rt_graph *graph,
                                 const rt_prune_modules *modules, double *least, retort_error *err) {
    size_t parts = modules->count + 1;
    double *pass = rt_calloc(parts, sizeof *pass);
    rt_batch batch = first_texts(p, rt_min(p->texts.texts.n, TIMED));
    retort_matrix out;
    retort_status status = pass != NULL ? RETORT_OK : rt_fail_nomem(err, parts * sizeof *pass);
    for (int i = 0; status == RETORT_OK && i <= PASSES; i++) {
        for (size_t j = 0; j < parts; j++) pass[j] = 0;
        add_steps(session, graph, modules, -1, pass);
        status = pause_of(p, err);
        if (status == RETORT_OK) status = rt_session_run(session, &batch, &out, err);
        if (status == RETORT_NONFINITE) status = RETORT_OK; /* it takes as long */
        add_steps(session, graph, modules, 1, pass);
        for (size_t j = 0; i > 0 && j < parts; j++) least[j] = i == 1 ? pass[j] : fmin(least[j], pass[j]);
    }
    free(pass);
    return status;
}

retort_status rt_probe_time(const rt_probe *p, const retort_model *model, const rt_prune_modules *modules,
                            double *seconds, double *whole, retort_error *err) {
    retort_quantize_options recipe = RETORT_QUANTIZE_OPTIONS;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_model *integers = NULL;
    retort_session *session = NULL;
    recipe.recipe = "int8";
    options.threads = p->threads;
    options.profile = true;
    retort_status status = rt_quantize(&integers, model, &recipe, err);
    if (status == RETORT_OK) status = retort_session_open(&session, integers, &options, err);
    double *least = rt_calloc(modules->count + 1, sizeof *least);
    if (status == RETORT_OK && least == NULL) status = rt_fail_nomem(err, modules->count * sizeof *least);
    if (status == RETORT_OK) status = time_passes(p, session, &model->graph, modules, least, err);
    *whole = 0;
    for (size_t i = 0; status == RETORT_OK && i <= modules->count; i++) {
        *whole += least[i];
        if (i < modules->count) seconds[i] = least[i];
    }
    free(least);
    retort_session_close(session);
    retort_model_free(integers);
    return status;
}
