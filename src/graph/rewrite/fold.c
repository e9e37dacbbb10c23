/* SPDX-License-Identifier: Apache-2.0
 * Level 1: computes and merges constants, and removes operators without effect. */
#include "graph/evaluate.h"
#include "graph/infer.h"
#include "graph/rewrite.h"

#include <stdlib.h>
#include <string.h>

/* Ends a rewrite: sweeps what lost its readers. */
static retort_status finish(rt_graph *graph, size_t applied, size_t *count, retort_error *err) {
    *count += applied;
    return applied > 0 ? rt_graph_sweep(graph, err) : RETORT_OK;
}

/* For each value, the one to read in its place: at first itself. */
static int *new_places(const rt_graph *graph, retort_error *err) {
    int *into = rt_calloc(graph->value_count, sizeof *into);
    for (size_t i = 0; into != NULL && i < graph->value_count; i++) into[i] = (int)i;
    if (into == NULL) rt_fail_nomem(err, graph->value_count * sizeof *into);
    return into;
}

static void read_places(rt_node *node, const int *into) {
    for (int k = 0; k < node->input_count; k++) {
        if (node->inputs[k] >= 0) node->inputs[k] = into[node->inputs[k]];
    }
}

/* ---- Fold constants ---- */

/* Limit for a folded value, and for all of one pass: shapes in the text of a file must not cause
 * allocations of arbitrary size. */
enum { FOLD_BYTES = 64 << 20, FOLD_PASS_BYTES = 1 << 30 };

/* Turns the value into a constant with this data, without a producer. */
static void make_constant(rt_value *value, const void *data) {
    value->producer = -1;
    value->data = data;
    rt_value_read_content(value);
}

/* A short vector known from shapes alone, such as the hidden size taken from a Shape. */
static bool fold_content(rt_graph *graph, rt_value *value) {
    size_t bytes;
    if (!value->content.known || value->content.symbols != 0 || value->dtype != RETORT_I64 ||
        !rt_value_bytes(value, &bytes))
        return false;
    int64_t *data = rt_graph_alloc(graph, bytes);
    if (data == NULL) return false;
    memcpy(data, value->content.at, bytes);
    make_constant(value, data);
    return true;
}

/* Whether all inputs have data and all outputs fit into *left, from which their size is subtracted. */
static bool can_fold(const rt_graph *graph, const rt_node *node, size_t *left) {
    size_t all = 0;
    for (int i = 0; i < node->input_count; i++) {
        if (node->inputs[i] >= 0 && graph->values[node->inputs[i]].data == NULL) return false;
    }
    for (int k = 0; k < node->output_count; k++) {
        size_t bytes;
        const rt_value *value = &graph->values[node->outputs[k]];
        if (value->producer < 0 || !rt_value_bytes(value, &bytes) || bytes > FOLD_BYTES) return false;
        all += bytes;
    }
    if (all > *left) return false;
    *left -= all;
    return true;
}

static rt_tensor tensor_of(const rt_value *value) {
    rt_tensor tensor = {.name = value->name, .data = value->data, .dtype = value->dtype, .rank = value->rank};
    memcpy(tensor.shape, value->dims, sizeof tensor.shape);
    return tensor;
}

retort_status rt_node_fold(rt_graph *graph, const rt_node *node, retort_error *err) {
    rt_tensor inputs[RT_MAX_INPUTS];
    rt_op_evaluation e = {.node = node, .mask_id = graph->mask_id};
    for (int i = 0; i < node->input_count; i++) {
        if (node->inputs[i] < 0) continue;
        inputs[i] = tensor_of(&graph->values[node->inputs[i]]);
        e.inputs[i] = &inputs[i];
    }
    for (int k = 0; k < node->output_count; k++) {
        size_t bytes = 0;
        rt_value_bytes(&graph->values[node->outputs[k]], &bytes);
        e.outputs[k].data = rt_graph_alloc(graph, bytes);
        if (e.outputs[k].data == NULL) return rt_fail_nomem(err, bytes);
    }
    retort_status status = rt_op_evaluate(&e, err);
    for (int k = 0; status == RETORT_OK && k < node->output_count; k++) {
        make_constant(&graph->values[node->outputs[k]], e.outputs[k].data);
    }
    return status;
}

retort_status rt_rewrite_fold_constants(rt_graph *graph, size_t *count, retort_error *err) {
    size_t applied = 0, left = FOLD_PASS_BYTES;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        rt_value *first = &graph->values[node->outputs[0]];
        if (node->output_count == 1 && fold_content(graph, first)) {
            applied++;
        } else if (rt_op_info(node->op)->level == 0 && can_fold(graph, node, &left)) {
            retort_status status = rt_node_fold(graph, node, err);
            if (status != RETORT_OK) return status;
            applied++;
        }
    }
    return finish(graph, applied, count, err);
}

/* ---- Drop identities ---- */

retort_status rt_rewrite_drop_identities(rt_graph *graph, size_t *count, retort_error *err) {
    size_t applied = 0;
    int *into = new_places(graph, err);
    if (into == NULL) return RETORT_NOMEM;
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        read_places(node, into);
        const rt_op_row *row = rt_op_info(node->op);
        if (row->is_identity == NULL || !row->is_identity(graph, node)) continue;
        into[node->outputs[0]] = node->inputs[0];
        applied++;
    }
    if (graph->output >= 0) graph->output = into[graph->output];
    free(into);
    return finish(graph, applied, count, err);
}

/* ---- Merge constants ---- */

/* Up to this size, constants are compared by content; larger ones are equal if they share memory. */
enum { COMPARE_BYTES = 4096 };

static int compare_numbers(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

/* Compares type, shape and data; 0: the constants can be merged. */
static int compare_data(const rt_value *a, const rt_value *b) {
    size_t bytes = 0;
    int order = compare_numbers(a->dtype, b->dtype);
    if (order == 0) order = compare_numbers(a->layout, b->layout);
    if (order == 0) order = compare_numbers(a->rank, b->rank);
    for (int i = 0; order == 0 && i < a->rank; i++) order = compare_numbers(a->dims[i], b->dims[i]);
    if (order != 0 || a->data == b->data) return order;
    if (rt_value_bytes(a, &bytes) && bytes <= COMPARE_BYTES) return memcmp(a->data, b->data, bytes);
    return (uintptr_t)a->data < (uintptr_t)b->data ? -1 : 1;
}

/* The same for qsort over pointers into one array: the first of equal constants comes first. */
static int compare_entries(const void *left, const void *right) {
    const rt_value *a = *(const rt_value *const *)left, *b = *(const rt_value *const *)right;
    int order = compare_data(a, b);
    return order != 0 ? order : (a > b) - (a < b);
}

retort_status rt_rewrite_merge_constants(rt_graph *graph, size_t *count, retort_error *err) {
    const rt_value **constants = rt_calloc(graph->value_count, sizeof *constants);
    int *into = new_places(graph, err);
    size_t found = 0, applied = 0;
    if (constants == NULL || into == NULL) {
        free(constants);
        free(into);
        return rt_fail_nomem(err, graph->value_count * sizeof *constants);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        const rt_value *value = &graph->values[i];
        if (rt_value_is_constant(value) && value->data != NULL) constants[found++] = value;
    }
    qsort(constants, found, sizeof *constants, compare_entries);
    for (size_t lead = 0, i = 1; i < found; i++) {
        if (compare_data(constants[lead], constants[i]) != 0) {
            lead = i;
            continue;
        }
        into[constants[i] - graph->values] = (int)(constants[lead] - graph->values);
        applied++;
    }
    for (size_t i = 0; applied > 0 && i < graph->node_count; i++) read_places(&graph->nodes[i], into);
    if (graph->output >= 0) graph->output = into[graph->output];
    free(constants);
    free(into);
    return finish(graph, applied, count, err);
}
