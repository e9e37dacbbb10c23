/* SPDX-License-Identifier: Apache-2.0
 * One round: levels of each module, what each costs and loses, and the choice among them. */
#include "prune/budget.h"
#include "prune/order.h"
#include "prune/pruner.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS = 6,   /* of a module in a round, besides what it has */
    COLUMNS = 64, /* units go in so many columns of a matrix: what kernels compute at a time */
    LEAST = 64    /* columns of a feed-forward network that stay */
};

/* Of second moments that are held at a time: those of a base model need two runs of the texts, not 24. */
static const size_t MEMORY = (size_t)512 << 20;

/* Of the answers: less is noise. */
static const double LEAST_LOSS = 1e-7;

/* A module of p->now in this round. */
typedef struct candidate {
    rt_prune_module module;
    size_t granule; /* units that go together */
    rt_prune_level levels[LEVELS];
    size_t level_count;
    double loss[LEVELS];
} candidate;

typedef struct turn {
    rt_pruner *p;
    candidate *items;
    size_t count;
    double loss;   /* of p->now */
    double shrink; /* of the budget that goes furthest, in this round */
} turn;

static void turn_free(turn *t) {
    for (size_t i = 0; t->items != NULL && i < t->count; i++) {
        for (size_t j = 0; j < t->items[i].level_count; j++) rt_prune_level_free(&t->items[i].levels[j]);
    }
    free(t->items);
}

static bool is_of(const rt_prune_budget *budget, const rt_prune_module *module) {
    return module->kind == RT_PRUNE_HEADS ? budget->heads : budget->ffn;
}

/* What a budget allows after this round: the same factor in each. */
static double limit_of(const rt_prune_budget *budget, size_t round, size_t rounds) {
    double share = (double)(round + 1) / (double)rounds;
    return budget->whole * pow(budget->target / budget->whole, share);
}

/* ---- Levels ---- */

/* The counts of a candidate's levels: evenly down to what a module that is pruned much harder than the rest has. */
static void set_counts(candidate *c, double shrink) {
    size_t units = c->module.units, granule = c->granule;
    size_t least = c->module.kind == RT_PRUNE_FFN ? rt_min(LEAST, units) : 1;
    size_t lowest = (size_t)((double)units * pow(shrink, 2.5)) / granule * granule, last = units;
    lowest = rt_max(lowest, least);
    c->level_count = 0;
    for (size_t i = 1; i <= LEVELS; i++) {
        size_t count = units - (units - lowest) * i / LEVELS;
        count = i == LEVELS ? lowest : rt_max(count / granule * granule, lowest);
        if (count < last) c->levels[c->level_count++].count = last = count;
    }
}

static retort_status find_candidates(turn *t, retort_error *err) {
    rt_prune_modules modules;
    retort_status status = rt_prune_modules_find(&modules, &t->p->now->graph, err);
    if (status != RETORT_OK) return status;
    t->items = rt_calloc(modules.count, sizeof *t->items);
    if (t->items == NULL) status = rt_fail_nomem(err, modules.count * sizeof *t->items);
    t->count = modules.count;
    for (size_t i = 0; status == RETORT_OK && i < modules.count; i++) {
        candidate *c = &t->items[i];
        bool shared = false;
        c->module = modules.items[i];
        c->granule = rt_max(COLUMNS / c->module.unit, 1);
        for (size_t b = 0; b < t->p->budget_count; b++) shared |= is_of(&t->p->budgets[b], &c->module);
        if (shared) set_counts(c, t->shrink);
    }
    rt_prune_modules_free(&modules);
    return status;
}

/* The second moments of gradients at the outputs of a node of this name in the dense model, or NULL. */
static const float *importance_of(const rt_pruner *p, const char *name) {
    for (size_t i = 0; p->importance.outputs != NULL && i < p->importance.nodes; i++) {
        if (strcmp(p->dense->graph.nodes[i].name, name) == 0) return p->importance.outputs[i];
    }
    return NULL;
}

/* The weights of a candidate's levels. */
static retort_status order(turn *t, candidate *c, const rt_prune_moments *moments, retort_error *err) {
    const rt_graph *graph = &t->p->now->graph;
    const rt_node *out = &graph->nodes[c->module.out];
    const rt_value *weight = &graph->values[out->inputs[LINEAR_WEIGHT]];
    rt_prune_task task = {.units = c->module.units,
                          .unit = c->module.unit,
                          .n = (size_t)weight->dims[1],
                          .rows = moments->rows,
                          .h = moments->h,
                          .weight = weight->data,
                          .g = importance_of(t->p, out->name),
                          .kernels = &t->p->probe.texts.kernels};
    return rt_prune_order(&task, c->levels, c->level_count, err);
}

/* Those from `first` on whose moments fit into MEMORY together, at least one: where they end. names [count] */
static size_t fill_names(const turn *t, size_t first, const char **names, size_t *count) {
    size_t bytes = 0, i = first;
    *count = 0;
    for (; i < t->count; i++) {
        const candidate *c = &t->items[i];
        size_t k = c->module.units * c->module.unit + 1;
        if (c->level_count == 0) continue;
        bytes += k * k * sizeof(double);
        if (bytes > MEMORY && *count > 0) break;
        names[(*count)++] = t->p->now->graph.nodes[c->module.out].name;
    }
    return i;
}

/* Levels whose weights are to be found, each on its own. */
typedef struct ordering {
    turn *t;
    candidate **items;
    const rt_prune_moments *moments;
    size_t count;
    atomic_size_t next;
    retort_status *status; /* [count] */
    retort_error *errors;  /* [count] */
} ordering;

static void order_next(void *user, int worker) {
    ordering *o = user;
    (void)worker;
    for (size_t i; (i = atomic_fetch_add(&o->next, 1)) < o->count;)
        o->status[i] = order(o->t, o->items[i], &o->moments[i], &o->errors[i]);
}

static retort_status order_these(turn *t, candidate **items, const rt_prune_moments *moments, size_t count,
                                 retort_error *err) {
    ordering o = {.t = t, .items = items, .moments = moments, .count = count};
    o.status = rt_calloc(count, sizeof *o.status);
    o.errors = rt_calloc(count, sizeof *o.errors);
    bool made = o.status != NULL && o.errors != NULL;
    retort_status status = made ? RETORT_OK : rt_fail_nomem(err, count * sizeof *o.errors);
    if (made) rt_thread_pool_run(t->p->probe.pool, order_next, &o);
    for (size_t i = 0; status == RETORT_OK && i < count; i++) {
        status = o.status[i];
        if (status != RETORT_OK && err != NULL) *err = o.errors[i];
    }
    free(o.status);
    free(o.errors);
    return status;
}

/* The levels of candidates from `first` to `*end`, from one run of the texts. */
static retort_status order_some(turn *t, size_t first, size_t *end, const char **names, candidate **items,
                                rt_prune_moments *moments, retort_error *err) {
    size_t count = 0, at = 0;
    *end = fill_names(t, first, names, &count);
    if (count == 0) return RETORT_OK;
    for (size_t i = first; i < *end; i++) {
        if (t->items[i].level_count > 0) items[at++] = &t->items[i];
    }
    retort_status status = rt_prune_moments_make(moments, &t->p->probe, t->p->now, names, count, NULL, err);
    if (status == RETORT_OK) status = order_these(t, items, moments, count, err);
    for (size_t i = 0; i < count; i++) rt_prune_moments_free(&moments[i]);
    return status;
}

static retort_status order_all(turn *t, retort_error *err) {
    const char **names = rt_calloc(t->count, sizeof *names);
    candidate **items = rt_calloc(t->count, sizeof *items);
    rt_prune_moments *moments = rt_calloc(t->count, sizeof *moments);
    bool made = names != NULL && items != NULL && moments != NULL;
    retort_status status = made ? RETORT_OK : rt_fail_nomem(err, t->count * sizeof *moments);
    for (size_t i = 0; status == RETORT_OK && i < t->count;)
        status = order_some(t, i, &i, names, items, moments, err);
    free(names);
    free(items);
    free(moments);
    return status;
}

/* The bias of `out` and what the level adds. NULL: out of memory. */
static float *new_bias(const rt_graph *graph, const rt_prune_module *m, const rt_prune_level *level) {
    const rt_node *out = &graph->nodes[m->out];
    size_t n = (size_t)graph->values[out->inputs[LINEAR_WEIGHT]].dims[1];
    const float *old = out->inputs[LINEAR_BIAS] >= 0 ? graph->values[out->inputs[LINEAR_BIAS]].data : NULL;
    float *bias = rt_calloc(n, sizeof *bias);
    for (size_t j = 0; bias != NULL && j < n; j++) bias[j] = level->bias[j] + (old != NULL ? old[j] : 0);
    return bias;
}

static retort_status cut_to(retort_model *model, const rt_prune_module *m, const rt_prune_level *level,
                            retort_error *err) {
    float *bias = new_bias(&model->graph, m, level);
    if (bias == NULL) return rt_fail_nomem(err, sizeof *bias);
    retort_status status =
        rt_prune_cut(&model->graph, m, level->kept, level->count, level->weight, bias, err);
    free(bias);
    return status;
}

/* What the answers lose when this module alone goes to one of its levels, the middle one; at the others, that changes as the
 * error of its output does. To measure each of four levels made pruning take three times as long. */
static retort_status measure_loss(turn *t, candidate *c, retort_error *err) {
    retort_model *model = NULL;
    size_t middle = c->level_count / 2;
    double loss = 0, cost = c->levels[middle].cost;
    retort_status status = rt_model_derive(&model, t->p->now, err);
    if (status == RETORT_OK) status = cut_to(model, &c->module, &c->levels[middle], err);
    if (status == RETORT_OK) status = rt_probe_loss(&t->p->probe, model, RT_PROBE_TEMPERATURE, &loss, err);
    retort_model_free(model);
    loss = fmax(loss - t->loss, LEAST_LOSS);
    for (size_t i = 0; i < c->level_count; i++) c->loss[i] = cost > 0 ? loss * c->levels[i].cost / cost : 0;
    return status;
}

/* ---- The choice ---- */

/* Seconds of module `index` with this many units: between those that were measured. */
static double seconds_of(const rt_pruner *p, size_t index, size_t count) {
    const double *at = p->seconds[index];
    double place = (double)count * RT_PRUNE_TIMES / (double)p->dense_units[index] - 1;
    if (place <= 0) return at[0];
    size_t i = rt_min((size_t)place, RT_PRUNE_TIMES - 2);
    return at[i] + (at[i + 1] - at[i]) * (place - (double)i);
}

static double cost_of(const turn *t, const rt_prune_budget *budget, size_t index, size_t count) {
    return budget->seconds ? seconds_of(t->p, index, count) : (double)count;
}

/* The level of each of a budget's candidates; LEVELS: it stays as it is. */
static retort_status share(const turn *t, const rt_prune_budget *budget, double limit, size_t *chosen,
                           retort_error *err) {
    rt_budget_choice *choices = rt_calloc(t->count * (LEVELS + 1), sizeof *choices);
    size_t *counts = rt_calloc(t->count, sizeof *counts), *picks = rt_calloc(t->count, sizeof *picks), n = 0,
           m = 0;
    bool made = choices != NULL && counts != NULL && picks != NULL, fits = true;
    for (size_t i = 0; made && i < t->count; i++) {
        const candidate *c = &t->items[i];
        if (!is_of(budget, &c->module)) continue;
        choices[n++] = (rt_budget_choice){cost_of(t, budget, i, c->module.units), 0};
        for (size_t j = 0; j < c->level_count; j++)
            choices[n++] = (rt_budget_choice){cost_of(t, budget, i, c->levels[j].count), c->loss[j]};
        counts[m++] = c->level_count + 1;
    }
    made = made && rt_budget_share(choices, counts, m, limit, picks, &fits);
    for (size_t i = 0, at = 0; made && i < t->count; i++) {
        if (is_of(budget, &t->items[i].module)) chosen[i] = picks[at] > 0 ? picks[at] - 1 : LEVELS;
        at += is_of(budget, &t->items[i].module);
    }
    free(choices);
    free(counts);
    free(picks);
    return made ? RETORT_OK : rt_fail_nomem(err, t->count * sizeof *choices);
}

/* p->now with the chosen levels. */
static retort_status apply(turn *t, const size_t *chosen, retort_error *err) {
    retort_model *next = NULL;
    retort_status status = rt_model_derive(&next, t->p->now, err);
    for (size_t i = 0; status == RETORT_OK && i < t->count; i++) {
        const candidate *c = &t->items[i];
        if (chosen[i] < c->level_count) status = cut_to(next, &c->module, &c->levels[chosen[i]], err);
    }
    if (status != RETORT_OK) {
        retort_model_free(next);
        return status;
    }
    retort_model_free(t->p->now);
    t->p->now = next;
    return RETORT_OK;
}

static void note_time(turn *t, const size_t *chosen) {
    rt_pruner *p = t->p;
    double sum = 0, dense = (p->budgets[0].target + p->fixed) / p->options->time;
    for (size_t i = 0; i < t->count; i++) {
        const candidate *c = &t->items[i];
        sum += seconds_of(p, i, chosen[i] < c->level_count ? c->levels[chosen[i]].count : c->module.units);
    }
    p->time_left = (sum + p->fixed) / dense;
}

static retort_status choose(turn *t, size_t round, size_t rounds, retort_error *err) {
    size_t *chosen = rt_calloc(t->count, sizeof *chosen);
    if (chosen == NULL) return rt_fail_nomem(err, t->count * sizeof *chosen);
    for (size_t i = 0; i < t->count; i++) chosen[i] = LEVELS;
    retort_status status = RETORT_OK;
    for (size_t b = 0; status == RETORT_OK && b < t->p->budget_count; b++) {
        const rt_prune_budget *budget = &t->p->budgets[b];
        status = share(t, budget, limit_of(budget, round, rounds), chosen, err);
    }
    if (status == RETORT_OK) status = apply(t, chosen, err);
    if (status == RETORT_OK && t->p->options->time > 0) note_time(t, chosen);
    free(chosen);
    return status;
}

/* ---- The round ---- */

static retort_status measure(turn *t, size_t round, size_t rounds, retort_error *err) {
    retort_status status = rt_pruner_report(t->p, "rounds", round * t->count, rounds * t->count, err);
    if (status == RETORT_OK)
        status = rt_probe_loss(&t->p->probe, t->p->now, RT_PROBE_TEMPERATURE, &t->loss, err);
    if (status == RETORT_OK) status = order_all(t, err);
    for (size_t i = 0; status == RETORT_OK && i < t->count; i++) {
        candidate *c = &t->items[i];
        status = rt_pruner_report(t->p, "rounds", round * t->count + i, rounds * t->count, err);
        if (status == RETORT_OK && c->level_count > 0) status = measure_loss(t, c, err);
    }
    return status;
}

retort_status rt_pruner_round(rt_pruner *p, size_t round, size_t rounds, retort_error *err) {
    turn t = {.p = p, .shrink = 1};
    for (size_t b = 0; b < p->budget_count; b++) {
        const rt_prune_budget *budget = &p->budgets[b];
        t.shrink = fmin(t.shrink, pow(budget->target / budget->whole, 1.0 / (double)rounds));
    }
    retort_status status = find_candidates(&t, err);
    if (status == RETORT_OK) status = measure(&t, round, rounds, err);
    if (status == RETORT_OK) status = choose(&t, round, rounds, err);
    turn_free(&t);
    return status;
}
