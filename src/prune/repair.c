/* SPDX-License-Identifier: Apache-2.0 */
#include "prune/repair.h"
#include "graph/match.h"
#include "prune/moments.h"
#include "quant/cholesky.h"

#include <stdlib.h>
#include <string.h>

/* Outputs of one Linear of the dense model for all texts: [rows, n]. */
typedef struct target {
    float *rows;
    size_t count, capacity;
} target;

static retort_status keep_rows(void *user, const retort_tapped *linear, size_t index, retort_error *err) {
    target *t = user;
    (void)index;
    size_t count = linear->out.rows * linear->out.columns;
    if (count == 0) return RETORT_OK;
    if (!rt_grow((void **)&t->rows, &t->capacity, t->count + count, sizeof *t->rows))
        return rt_fail_nomem(err, (t->count + count) * sizeof *t->rows);
    memcpy(t->rows + t->count, linear->out.data, count * sizeof *t->rows);
    t->count += count;
    return RETORT_OK;
}

/* The weight of a module as rows [units * unit, n], plus what was solved for: [units * unit + 1, n]. */
static retort_status add_solution(rt_graph *graph, const rt_prune_module *m, const double *solved,
                                  retort_error *err) {
    const rt_node *out = &graph->nodes[m->out];
    const rt_value *v = &graph->values[out->inputs[LINEAR_WEIGHT]];
    size_t k = (size_t)v->dims[0], n = (size_t)v->dims[1];
    int old_bias = out->inputs[LINEAR_BIAS];
    float *weight = rt_calloc(k * n, sizeof *weight), *bias = rt_calloc(n, sizeof *bias);
    uint32_t *kept = rt_calloc(m->units, sizeof *kept);
    retort_status status = RETORT_OK;
    if (weight == NULL || bias == NULL || kept == NULL) status = rt_fail_nomem(err, k * n * sizeof *weight);
    for (size_t i = 0; status == RETORT_OK && i < k * n; i++)
        weight[i] =
            ((const float *)v->data)[rt_weight_at(v, (int64_t)(i / n), (int64_t)(i % n))] + (float)solved[i];
    for (size_t j = 0; status == RETORT_OK && j < n; j++)
        bias[j] =
            (old_bias >= 0 ? ((const float *)graph->values[old_bias].data)[j] : 0) + (float)solved[k * n + j];
    for (size_t i = 0; status == RETORT_OK && i < m->units; i++) kept[i] = (uint32_t)i;
    if (status == RETORT_OK) status = rt_prune_cut(graph, m, kept, m->units, weight, bias, err);
    free(weight);
    free(bias);
    free(kept);
    return status;
}

static retort_status repair_module(const rt_probe *probe, retort_model *model, retort_model *dense,
                                   const rt_prune_module *m, retort_error *err) {
    const char *name = model->graph.nodes[m->out].name;
    target wanted = {0};
    rt_prune_moments moments = {0};
    retort_status status = rt_probe_rows(probe, dense, &name, 1, keep_rows, &wanted, err);
    if (status == RETORT_OK)
        status = rt_prune_moments_make(&moments, probe, model, &name, 1, wanted.rows, err);
    free(wanted.rows);
    if (status != RETORT_OK) return status;
    double *scratch = rt_calloc(RT_CHOLESKY_ROWS * moments.k, sizeof *scratch);
    if (scratch == NULL) status = rt_fail_nomem(err, RT_CHOLESKY_ROWS * moments.k * sizeof *scratch);
    rt_prune_damp(moments.k, moments.h, 1);
    if (status == RETORT_OK && !rt_prune_solve(moments.k, moments.n, moments.h, moments.c, scratch))
        status =
            rt_fail(err, RETORT_NONFINITE, "prune: %.200s: second moments are not positive definite", name);
    if (status == RETORT_OK) status = add_solution(&model->graph, m, moments.c, err);
    free(scratch);
    rt_prune_moments_free(&moments);
    return status;
}

retort_status rt_prune_repair(const rt_probe *probe, retort_model *model, retort_model *dense,
                              retort_error *err) {
    rt_prune_modules modules;
    retort_status status = rt_prune_modules_find(&modules, &model->graph, err);
    for (size_t i = 0; status == RETORT_OK && i < modules.count; i++)
        status = repair_module(probe, model, dense, &modules.items[i], err);
    rt_prune_modules_free(&modules);
    return status;
}
