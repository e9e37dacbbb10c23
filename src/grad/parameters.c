/* SPDX-License-Identifier: Apache-2.0 */
#include "grad/parameters.h"
#include "graph/rewrite.h"

#include <stdlib.h>
#include <string.h>

/* ---- Which constants are parameters ---- */

/* kinds[values]: -1, or an rt_parameter_kind */
static void mark(const rt_graph *graph, const rt_node *node, int operand, rt_parameter_kind kind,
                 int *kinds) {
    int value = rt_operand(node, operand);
    if (value < 0 || !rt_value_is_constant(&graph->values[value])) return;
    const rt_value *v = &graph->values[value];
    bool packed = kind != RT_PARAMETER_MATRIX || v->layout == RT_LAYOUT_P16;
    if (v->dtype == RETORT_F32 && v->data != NULL && packed) kinds[value] = (int)kind;
}

static void mark_all(const rt_graph *graph, int *kinds) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_LINEAR) {
            mark(graph, node, LINEAR_WEIGHT, RT_PARAMETER_MATRIX, kinds);
            mark(graph, node, LINEAR_BIAS, RT_PARAMETER_VECTOR, kinds);
        } else if (node->op == RT_OP_LAYER_NORM) {
            mark(graph, node, LAYER_NORM_GAMMA, RT_PARAMETER_VECTOR, kinds);
            mark(graph, node, LAYER_NORM_BETA, RT_PARAMETER_VECTOR, kinds);
        } else if (node->op == RT_OP_EMBED) {
            mark(graph, node, EMBED_WORD, RT_PARAMETER_TABLE, kinds);
            mark(graph, node, EMBED_POSITION, RT_PARAMETER_TABLE, kinds);
            mark(graph, node, EMBED_TYPE, RT_PARAMETER_TABLE, kinds);
            mark(graph, node, EMBED_GAMMA, RT_PARAMETER_VECTOR, kinds);
            mark(graph, node, EMBED_BETA, RT_PARAMETER_VECTOR, kinds);
        } else if (node->op == RT_OP_ATTENTION) {
            mark(graph, node, ATTENTION_BIAS, RT_PARAMETER_ROWS, kinds);
            mark(graph, node, ATTENTION_POS_KEY, RT_PARAMETER_ROWS, kinds);
            mark(graph, node, ATTENTION_POS_QUERY, RT_PARAMETER_ROWS, kinds);
        }
    }
}

/* ---- Gradients ---- */

retort_status rt_parameter_open(rt_parameter *parameter, retort_error *err) {
    if (parameter->kind == RT_PARAMETER_TABLE) return RETORT_OK; /* rows come when they occur */
    size_t bytes = 0;
    if (rt_mul(parameter->count, sizeof *parameter->grad, &bytes)) parameter->grad = rt_alloc_aligned(bytes);
    if (parameter->grad == NULL) return rt_fail_nomem(err, bytes);
    memset(parameter->grad, 0, bytes);
    return RETORT_OK;
}

void rt_parameter_free(rt_parameter *parameter) {
    free(parameter->grad);
    free(parameter->touched);
    *parameter = (rt_parameter){0};
}

/* More room for rows, doubled. */
static bool reserve_rows(rt_parameter *parameter, size_t rows) {
    if (rows <= parameter->touched_capacity) return true;
    size_t capacity = rt_max(rt_max(rows, 64), 2 * parameter->touched_capacity), bytes, floats;
    if (!rt_mul(capacity, parameter->n, &floats) || !rt_mul(floats, sizeof(float), &bytes)) return false;
    float *grad = rt_alloc_aligned(bytes);
    int32_t *touched = rt_calloc(capacity, sizeof *touched);
    if (grad == NULL || touched == NULL) {
        free(grad);
        free(touched);
        return false;
    }
    if (parameter->touched_count > 0) {
        memcpy(grad, parameter->grad, parameter->touched_count * parameter->n * sizeof *grad);
        memcpy(touched, parameter->touched, parameter->touched_count * sizeof *touched);
    }
    free(parameter->grad);
    free(parameter->touched);
    parameter->grad = grad;
    parameter->touched = touched;
    parameter->touched_capacity = capacity;
    return true;
}

/* How many of the ids have no row yet. */
static size_t count_new(const rt_parameter *parameter, const int32_t *ids, size_t n) {
    size_t more = 0;
    for (size_t i = 0, at = 0; i < n; i++) {
        while (at < parameter->touched_count && parameter->touched[at] < ids[i]) at++;
        more += at == parameter->touched_count || parameter->touched[at] != ids[i];
    }
    return more;
}

/* Merges from the end, so that each row moves once, to where nothing is needed any more. */
bool rt_parameter_touch(rt_parameter *parameter, const int32_t *ids, size_t n) {
    size_t old = parameter->touched_count, more = count_new(parameter, ids, n), width = parameter->n;
    if (!reserve_rows(parameter, old + more)) return false;
    parameter->touched_count = old + more;
    for (size_t to = old + more; more > 0; to--) {
        bool fresh = old == 0 || ids[n - 1] > parameter->touched[old - 1];
        float *row = parameter->grad + (to - 1) * width;
        if (!fresh && ids[n - 1] == parameter->touched[old - 1]) n--;
        if (fresh) {
            memset(row, 0, width * sizeof *row);
            parameter->touched[to - 1] = ids[--n];
            more--;
        } else {
            old--;
            memmove(row, parameter->grad + old * width, width * sizeof *row);
            parameter->touched[to - 1] = parameter->touched[old];
        }
    }
    return true;
}

/* ---- All of them ---- */

static retort_status open_item(rt_parameter *item, const rt_graph *graph, int value, rt_parameter_kind kind,
                               retort_error *err) {
    const rt_value *v = &graph->values[value];
    size_t bytes = 0;
    if (!rt_value_bytes(v, &bytes)) return rt_fail_nomem(err, SIZE_MAX);
    *item = (rt_parameter){
        .value = value,
        .name = v->name,
        .kind = kind,
        .rows = v->rank == 2 ? (size_t)v->dims[0] : 1,
        .n = (size_t)v->dims[v->rank - 1],
        .count = bytes / sizeof(float),
        .data = (float *)(uintptr_t)v->data, /* the caller's own, writable */
    };
    item->used = item->data;
    return rt_parameter_open(item, err);
}

retort_status rt_parameters_open(rt_parameters *out, const rt_graph *graph, retort_error *err) {
    *out = (rt_parameters){0};
    int *kinds = rt_calloc(graph->value_count, sizeof *kinds);
    size_t count = 0;
    if (kinds == NULL) return rt_fail_nomem(err, graph->value_count * sizeof *kinds);
    for (size_t i = 0; i < graph->value_count; i++) kinds[i] = -1;
    mark_all(graph, kinds);
    for (size_t i = 0; i < graph->value_count; i++) count += kinds[i] >= 0;
    retort_status status = RETORT_OK;
    out->items = rt_calloc(count, sizeof *out->items);
    if (out->items == NULL) status = rt_fail_nomem(err, count * sizeof *out->items);
    for (size_t i = 0; status == RETORT_OK && i < graph->value_count; i++) {
        if (kinds[i] < 0) continue;
        rt_parameter *item = &out->items[out->count++];
        status = open_item(item, graph, (int)i, (rt_parameter_kind)kinds[i], err);
    }
    free(kinds);
    if (status != RETORT_OK) rt_parameters_free(out);
    return status;
}

retort_status rt_parameters_add(rt_parameters *parameters, const rt_graph *graph, int value,
                                rt_parameter_kind kind, retort_error *err) {
    size_t capacity = parameters->count;
    if (!rt_grow((void **)&parameters->items, &capacity, parameters->count + 1, sizeof *parameters->items))
        return rt_fail_nomem(err, sizeof *parameters->items);
    return open_item(&parameters->items[parameters->count++], graph, value, kind, err);
}

static int by_value(const void *a, const void *b) {
    const rt_parameter *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* The graph's values may have other indices afterwards; their names and their order stay. What no node reads is gone from
 * the graph, and keeps a place behind all others. */
retort_status rt_parameters_use_bf16(rt_parameters *parameters, rt_graph *graph, retort_error *err) {
    retort_status status = rt_graph_use_bf16(graph, err);
    if (status != RETORT_OK) return status;
    for (size_t i = 0; i < parameters->count; i++) {
        rt_parameter *item = &parameters->items[i];
        item->value = rt_value_find(graph, item->name);
        if (item->value < 0)
            item->value = (int)(graph->value_count + i);
        else
            item->name = graph->values[item->value].name;
    }
    qsort(parameters->items, parameters->count, sizeof *parameters->items, by_value);
    return RETORT_OK;
}

void rt_parameters_free(rt_parameters *parameters) {
    for (size_t i = 0; parameters->items != NULL && i < parameters->count; i++)
        rt_parameter_free(&parameters->items[i]);
    free(parameters->items);
    *parameters = (rt_parameters){0};
}

rt_parameter *rt_parameters_find(const rt_parameters *parameters, int value) {
    for (size_t low = 0, high = parameters->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (parameters->items[middle].value == value) return &parameters->items[middle];
        if (parameters->items[middle].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void rt_parameters_drop(rt_parameters *parameters, int value) {
    rt_parameter *item = rt_parameters_find(parameters, value);
    if (item == NULL) return;
    size_t after = parameters->count - (size_t)(item - parameters->items) - 1;
    rt_parameter_free(item);
    memmove(item, item + 1, after * sizeof *item);
    parameters->count--;
}

void rt_parameters_clear(rt_parameters *parameters) {
    for (size_t i = 0; i < parameters->count; i++) {
        rt_parameter *item = &parameters->items[i];
        item->touched_count = 0;
        item->cleared = item->kind == RT_PARAMETER_MATRIX;
        if (item->kind == RT_PARAMETER_VECTOR || item->kind == RT_PARAMETER_ROWS)
            memset(item->grad, 0, item->count * sizeof *item->grad);
    }
}
