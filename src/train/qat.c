/* SPDX-License-Identifier: Apache-2.0 */
#include "train/qat.h"

#include <stdlib.h>
#include <string.h>

enum { REGROUP = 100 };

/* ---- Passes over all panels ---- */

typedef struct pass {
    rt_qat *qat;
    void (*panel)(const rt_qat *qat, const rt_qat_matrix *m, size_t panel, void *scratch);
} pass;

/* Panels are taken, so a worker that is held up has few. */
static void run_panels(void *user, int worker) {
    const pass *p = user;
    rt_qat *qat = p->qat;
    size_t count = qat->first[qat->matrix_count], at;
    while ((at = atomic_fetch_add(&qat->taken, 1)) < count) {
        size_t m = 0;
        while (qat->first[m + 1] <= at) m++;
        p->panel(qat, &qat->matrices[m], at - qat->first[m], qat->scratch + (size_t)worker * qat->stride);
    }
}

static void run_pass(rt_qat *qat, const pass *p) {
    atomic_store(&qat->taken, 0);
    if (qat->options.pool != NULL)
        rt_thread_pool_run(qat->options.pool, run_panels, (void *)(uintptr_t)p);
    else
        run_panels((void *)(uintptr_t)p, 0);
}

static void refresh_panel(const rt_qat *qat, const rt_qat_matrix *m, size_t panel, void *scratch) {
    rt_qat_matrix_refresh(m, panel, qat->regroup, scratch);
}

static void gather_panel(const rt_qat *qat, const rt_qat_matrix *m, size_t panel, void *scratch) {
    (void)qat;
    (void)scratch;
    rt_qat_matrix_gather(m, panel);
}

static bool is_regrouping(const rt_qat_options *o, size_t step) {
    return step > 0 && step % o->regroup == 0 && (double)step < (double)o->steps * (1 - o->frozen);
}

static retort_status refresh(rt_trainee *trainee, size_t step, retort_error *err) {
    rt_qat *qat = trainee->qat;
    (void)err;
    qat->regroup = is_regrouping(&qat->options, step);
    run_pass(qat, &(pass){qat, refresh_panel});
    for (size_t i = 0; i < qat->table_count; i++) rt_qat_table_refresh(&qat->tables[i]);
    return RETORT_OK;
}

static void gather(rt_trainee *trainee) {
    rt_qat *qat = trainee->qat;
    run_pass(qat, &(pass){qat, gather_panel});
    for (size_t i = 0; i < qat->table_count; i++) rt_qat_table_gather(&qat->tables[i]);
}

static void touch(rt_trainee *trainee, size_t item, const int32_t *rows, size_t n) {
    const rt_parameter *parameter = &trainee->parameters.items[item];
    for (size_t i = 0; i < trainee->qat->table_count; i++) {
        rt_qat_table *t = &trainee->qat->tables[i];
        if (rows == NULL) memset(t->dirty, true, t->rows);
        for (size_t j = 0; rows != NULL && t->master == parameter && j < n; j++) t->dirty[rows[j]] = true;
    }
}

static void close_qat(rt_trainee *trainee) {
    rt_qat *qat = trainee->qat;
    if (qat == NULL) return;
    for (size_t i = 0; i < qat->matrix_count; i++) rt_qat_matrix_free(&qat->matrices[i]);
    for (size_t i = 0; i < qat->table_count; i++) rt_qat_table_free(&qat->tables[i]);
    free(qat->matrices);
    free(qat->tables);
    free(qat->first);
    free(qat->scratch);
    free(qat);
    trainee->qat = NULL;
}

/* ---- State ---- */

rt_qat_state rt_qat_state_at(const rt_trainee *trainee, size_t index) {
    const rt_qat *qat = trainee->qat;
    for (size_t i = 0; i < qat->matrix_count; i++) {
        const rt_qat_matrix *m = &qat->matrices[i];
        if (m->group_at == NULL || index-- > 0) continue;
        return (rt_qat_state){m->group_at, m->panels * m->groups * RT_PANEL};
    }
    return (rt_qat_state){0};
}

/* ---- Opening: which constants are rounded ---- */

static retort_status check_nodes(const rt_graph *graph, retort_error *err) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        int scaled = node->op == RT_OP_EMBED        ? (int)EMBED_CHANNEL_SCALE
                     : node->op == RT_OP_LAYER_NORM ? (int)LAYER_NORM_CHANNEL_SCALE
                     : node->op == RT_OP_CONVERT    ? (int)CONVERT_CHANNEL_SCALE
                                                    : RT_MAX_INPUTS;
        if (scaled >= node->input_count || node->inputs[scaled] < 0) continue;
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "train: %.200s scales channels, which are not trained: smoothquant and awq do so; "
                       "int8, int4, gptq, owq and ptq+owq do not",
                       node->name);
    }
    return RETORT_OK;
}

static bool is_integer(const rt_graph *graph, const rt_node *node, int operand) {
    const rt_value *value = rt_operand_value(graph, node, operand);
    return value != NULL && value->dtype != RETORT_F32;
}

static bool has_matrix(const rt_qat *qat, int weight) {
    for (size_t i = 0; i < qat->matrix_count; i++) {
        if (qat->matrices[i].weight == weight) return true;
    }
    return false;
}

static bool has_table(const rt_qat *qat, int table) {
    for (size_t i = 0; i < qat->table_count; i++) {
        if (qat->tables[i].table == table) return true;
    }
    return false;
}

/* The data of the same constant in the float model, if it has one of this layout; else NULL. */
static const float *floats_of(const retort_model *model, const char *name, rt_layout layout, size_t rows,
                              size_t n) {
    int found = model != NULL ? rt_value_find(&model->graph, name) : -1;
    if (found < 0) return NULL;
    const rt_value *v = &model->graph.values[found];
    bool same = v->dtype == RETORT_F32 && v->layout == layout && v->rank == 2 &&
                v->dims[0] == (int64_t)rows && v->dims[1] == (int64_t)n;
    return same ? v->data : NULL;
}

static retort_status open_linear(rt_qat *qat, const rt_graph *graph, const rt_node *node,
                                 const retort_model *model, retort_error *err) {
    int weight = node->inputs[LINEAR_WEIGHT];
    if (!is_integer(graph, node, LINEAR_WEIGHT) || has_matrix(qat, weight)) return RETORT_OK;
    rt_qat_matrix *m = &qat->matrices[qat->matrix_count++];
    retort_status status = rt_qat_matrix_open(m, graph, node, err);
    if (status == RETORT_OK)
        rt_qat_matrix_start(m, floats_of(model, graph->values[weight].name, RT_LAYOUT_P16, m->k, m->n));
    return status;
}

static retort_status open_table(rt_qat *qat, const retort_model *integer, const rt_node *node, int operand,
                                const retort_model *model, retort_error *err) {
    const rt_graph *graph = &integer->graph;
    if (!is_integer(graph, node, operand) || has_table(qat, node->inputs[operand])) return RETORT_OK;
    rt_qat_table *t = &qat->tables[qat->table_count++];
    retort_status status = rt_qat_table_open(t, graph, node, operand, (size_t)integer->config.vocab, err);
    if (status == RETORT_OK)
        rt_qat_table_start(t, floats_of(model, graph->values[t->table].name, RT_LAYOUT_ROWS, t->rows, t->n));
    return status;
}

static retort_status open_parts(rt_qat *qat, const retort_model *integer, const retort_model *model,
                                retort_error *err) {
    const rt_graph *graph = &integer->graph;
    retort_status status = RETORT_OK;
    qat->matrices = rt_calloc(graph->node_count, sizeof *qat->matrices);
    qat->tables = rt_calloc(2 * graph->node_count, sizeof *qat->tables);
    if (qat->matrices == NULL || qat->tables == NULL) return rt_fail_nomem(err, graph->node_count);
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_LINEAR) status = open_linear(qat, graph, node, model, err);
        if (node->op != RT_OP_EMBED) continue;
        status = open_table(qat, integer, node, EMBED_WORD, model, err);
        if (status == RETORT_OK) status = open_table(qat, integer, node, EMBED_POSITION, model, err);
    }
    if (status != RETORT_OK || qat->matrix_count + qat->table_count > 0) return status;
    return rt_fail(err, RETORT_ARGUMENT, "train: the model is %.60s: it has no integer weights",
                   integer->provenance.text);
}

static retort_status open_scratch(rt_qat *qat, retort_error *err) {
    size_t threads = qat->options.pool != NULL ? (size_t)rt_thread_pool_size(qat->options.pool) : 1,
           bytes = 0;
    qat->first = rt_calloc(qat->matrix_count + 1, sizeof *qat->first);
    qat->stride = 64;
    for (size_t i = 0; i < qat->matrix_count; i++) {
        qat->stride = rt_max(qat->stride, rt_qat_matrix_scratch(&qat->matrices[i]));
        if (qat->first != NULL) qat->first[i + 1] = qat->first[i] + qat->matrices[i].panels;
    }
    if (rt_mul(threads, qat->stride, &bytes)) qat->scratch = rt_alloc_aligned(bytes);
    return qat->first != NULL && qat->scratch != NULL ? RETORT_OK : rt_fail_nomem(err, bytes);
}

/* ---- Opening: parameters ---- */

static int by_value(const void *left, const void *right) {
    const rt_parameter *a = left, *b = right;
    return (a->value > b->value) - (a->value < b->value);
}

/* Adds one whose data is not that of a constant. */
static retort_status add(rt_parameters *to, const rt_graph *graph, rt_parameter item, retort_error *err) {
    item.name = graph->values[item.value].name;
    to->items[to->count] = item;
    return rt_parameter_open(&to->items[to->count++], err);
}

static retort_status add_matrix(rt_parameters *to, const rt_graph *graph, const rt_qat_matrix *m,
                                retort_error *err) {
    rt_parameter master = {.value = m->weight, .kind = RT_PARAMETER_MATRIX, .rows = m->k, .n = m->n};
    master.count = m->panels * RT_PANEL * m->k;
    master.data = m->data[0];
    master.used = m->used;
    rt_parameter factors = {
        .value = m->steps, .kind = RT_PARAMETER_VECTOR, .rows = 1, .n = m->n, .count = m->n};
    factors.data = m->data[1];
    factors.used = m->scale;
    retort_status status = add(to, graph, master, err);
    return status == RETORT_OK ? add(to, graph, factors, err) : status;
}

static retort_status add_table(rt_parameters *to, const rt_graph *graph, const rt_qat_table *t,
                               retort_error *err) {
    rt_parameter master = {.value = t->table, .kind = RT_PARAMETER_TABLE, .rows = t->rows, .n = t->n};
    master.count = t->rows * t->n;
    master.data = t->data;
    master.used = t->used;
    return add(to, graph, master, err);
}

/* The floats of the graph, then masters and factors, in the order of values. */
static retort_status open_parameters(rt_trainee *trainee, retort_error *err) {
    const rt_graph *graph = &trainee->model->graph;
    const rt_qat *qat = trainee->qat;
    rt_parameters *p = &trainee->parameters;
    retort_status status = rt_parameters_open(p, graph, err);
    if (status != RETORT_OK) return status;
    rt_trainee_drop_absent(trainee);
    size_t capacity = p->count, more = 2 * qat->matrix_count + qat->table_count;
    if (!rt_grow((void **)&p->items, &capacity, p->count + more, sizeof *p->items))
        return rt_fail_nomem(err, more * sizeof *p->items);
    for (size_t i = 0; status == RETORT_OK && i < qat->matrix_count; i++)
        status = add_matrix(p, graph, &qat->matrices[i], err);
    for (size_t i = 0; status == RETORT_OK && i < qat->table_count; i++)
        status = add_table(p, graph, &qat->tables[i], err);
    qsort(p->items, p->count, sizeof *p->items, by_value);
    for (size_t i = 0; i < qat->matrix_count; i++) {
        qat->matrices[i].master = rt_parameters_find(p, qat->matrices[i].weight);
        qat->matrices[i].factors = rt_parameters_find(p, qat->matrices[i].steps);
    }
    for (size_t i = 0; i < qat->table_count; i++)
        qat->tables[i].master = rt_parameters_find(p, qat->tables[i].table);
    return status;
}

static retort_status open_all(rt_trainee *t, const retort_model *integer, const retort_model *model,
                              const rt_qat_options *options, retort_error *err) {
    static const rt_trainee_rounding rounding = {refresh, gather, touch, close_qat};
    t->base = retort_model_retain((retort_model *)(uintptr_t)integer); /* counting owners is no change */
    t->rounding = &rounding;
    t->qat = rt_calloc(1, sizeof *t->qat);
    if (t->qat == NULL) return rt_fail_nomem(err, sizeof *t->qat);
    t->qat->options = *options;
    if (options->regroup == 0) t->qat->options.regroup = REGROUP;
    if (options->frozen <= 0) t->qat->options.frozen = 1.0 / 3;
    retort_status status = check_nodes(&integer->graph, err);
    if (status == RETORT_OK) status = rt_model_derive(&t->model, integer, err);
    if (status == RETORT_OK) status = rt_trainee_own(t->model, err);
    if (status == RETORT_OK) status = open_parts(t->qat, t->model, model, err);
    if (status == RETORT_OK) status = open_scratch(t->qat, err);
    return status == RETORT_OK ? open_parameters(t, err) : status;
}

retort_status rt_qat_open(rt_trainee *out, const retort_model *integer, const retort_model *model,
                          const rt_qat_options *options, retort_error *err) {
    *out = (rt_trainee){0};
    retort_status status = open_all(out, integer, model, options, err);
    if (status != RETORT_OK) rt_trainee_close(out);
    return status;
}
