/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/match.h"
#include "base/budget.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Sweeps, and rebuilds the links. */
static retort_status renew(rt_graph *graph, retort_error *err) {
    rt_links_close(graph);
    retort_status status = rt_graph_sweep(graph, err);
    if (status != RETORT_OK || rt_links_open(graph)) return status;
    return rt_fail_nomem(err, graph->node_count * sizeof(rt_node));
}

/* Tries every node once from `*node` on; with `one`, up to the first success. Skips nodes that edits have
 * made dead. */
static retort_status pass(rt_graph *graph, rt_apply_fn apply, bool one, size_t *count, retort_error *err) {
    size_t before = *count;
    for (size_t node = 0; node < graph->node_count && !(one && *count > before); node++) {
        if (graph->links->dead[node]) continue;
        graph->links->fresh = graph->value_count;
        bool applied = apply(graph, (int)node);
        if (graph->fault.status != RETORT_OK) {
            return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
        }
        if (!rt_links_settle(graph)) return rt_fail_nomem(err, graph->value_count * sizeof(int));
        *count += applied;
    }
    return RETORT_OK;
}

/* Dead nodes stay until the first sweep after an edit; two or three passes follow. */
retort_status rt_rewrite_each(rt_graph *graph, rt_apply_fn apply, size_t *count, retort_error *err) {
    enum { MAX_PASSES = 64 };
    retort_status status =
        rt_links_open(graph) ? RETORT_OK : rt_fail_nomem(err, graph->node_count * sizeof(rt_node));
    for (int i = 0; status == RETORT_OK && i < MAX_PASSES; i++) {
        size_t before = *count;
        status = pass(graph, apply, i == 0, count, err);
        if (status != RETORT_OK || *count == before) break;
        status = renew(graph, err);
    }
    rt_links_close(graph);
    return status;
}

/* ---- Questions ---- */

const rt_node *rt_made_by(const rt_graph *graph, int value, rt_op op) {
    int producer = value >= 0 ? graph->values[value].producer : -1;
    if (producer < 0) return NULL;
    const rt_node *node = &graph->nodes[producer];
    return node->op == op && node->outputs[0] == value ? node : NULL;
}

int rt_only_reader(const rt_graph *graph, int value) {
    if (graph->output == value || rt_value_uses(graph, value) != 1) return -1;
    if (graph->links != NULL) return graph->links->first[value] / RT_MAX_INPUTS;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] == value) return (int)i;
        }
    }
    return -1;
}

static bool is_float_constant(const rt_graph *graph, int value, int rank, rt_layout layout) {
    if (value < 0) return false;
    const rt_value *v = &graph->values[value];
    return rt_value_is_constant(v) && v->dtype == RETORT_F32 && v->layout == layout && v->rank == rank;
}

bool rt_is_weight(const rt_graph *graph, int value) {
    return is_float_constant(graph, value, 2, RT_LAYOUT_ROWS);
}

bool rt_is_bias(const rt_graph *graph, int value, int64_t n) {
    return is_float_constant(graph, value, 1, RT_LAYOUT_ROWS) && graph->values[value].dims[0] == n;
}

bool rt_scalar(const rt_graph *graph, int value, double *out) {
    if (value < 0) return false;
    const rt_value *v = &graph->values[value];
    size_t count;
    if (!rt_value_is_constant(v) || v->data == NULL || !rt_shape_count(v->dims, v->rank, &count) ||
        count != 1)
        return false;
    if (v->dtype == RETORT_F32) *out = (double)*(const float *)v->data;
    if (v->dtype == RETORT_I64) *out = (double)*(const int64_t *)v->data;
    return v->dtype == RETORT_F32 || v->dtype == RETORT_I64;
}

bool rt_scalar_near(const rt_graph *graph, int value, double want) {
    double found;
    return rt_scalar(graph, value, &found) && fabs(found - want) <= fmax(fabs(want) * 1e-3, 1e-6);
}

bool rt_with_scalar(const rt_graph *graph, int value, rt_op op, int *x, double *scalar) {
    const rt_node *node = rt_made_by(graph, value, op);
    if (node == NULL) return false;
    bool commutes = op == RT_OP_ADD || op == RT_OP_MUL || op == RT_OP_MAX || op == RT_OP_EQUAL;
    for (int k = 1; k >= (commutes ? 0 : 1); k--) {
        if (!rt_scalar(graph, node->inputs[k], scalar)) continue;
        *x = node->inputs[1 - k];
        return true;
    }
    return false;
}

/* Whether the constant is 0, 1, 2, … */
static bool counts_up(const rt_value *value) {
    const int64_t *numbers = value->data;
    size_t count = 0;
    if (!rt_value_is_constant(value) || value->dtype != RETORT_I64 || numbers == NULL ||
        !rt_shape_count(value->dims, value->rank, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] != (int64_t)i) return false;
    }
    return true;
}

bool rt_is_places(const rt_graph *graph, int value) {
    const rt_node *slice = rt_made_by(graph, value, RT_OP_SLICE);
    if (slice == NULL) return false;
    const rt_value *v = &graph->values[value];
    if (v->rank != 2 || v->dims[0] != 1 || v->dims[1] != RT_DIM_SEQ) return false;
    const rt_content *start = &graph->values[slice->inputs[SLICE_STARTS]].content;
    int steps = rt_operand(slice, SLICE_STEPS);
    bool by_one = steps < 0 || rt_scalar_near(graph, steps, 1);
    return by_one && start->known && start->count == 1 && start->symbols == 0 && start->at[0] == 0 &&
           counts_up(&graph->values[slice->inputs[SLICE_DATA]]);
}

int64_t rt_counted_pad(const rt_graph *graph, int value) {
    double one, pad;
    int x;
    const rt_node *mul = rt_made_by(graph, value, RT_OP_MUL);
    for (int k = 0; mul != NULL && k < 2; k++) {
        const rt_node *sums = rt_made_by(graph, mul->inputs[k], RT_OP_CUM_SUM);
        const rt_node *counts = rt_made_by(graph, mul->inputs[1 - k], RT_OP_SUB);
        if (sums == NULL || counts == NULL || sums->inputs[0] != mul->inputs[1 - k] ||
            sums->attrs.axis != 1 || !rt_scalar(graph, counts->inputs[0], &one) || one != 1)
            continue;
        const rt_node *cast = rt_made_by(graph, counts->inputs[1], RT_OP_CAST);
        if (cast != NULL && rt_with_scalar(graph, cast->inputs[0], RT_OP_EQUAL, &x, &pad) && pad >= 0 &&
            graph->values[x].input && strcmp(graph->values[x].name, "input_ids") == 0)
            return (int64_t)pad;
    }
    return -1;
}

bool rt_graph_counts_ids(const rt_graph *graph) {
    bool counts = false;
    for (size_t i = 0; !counts && i < graph->node_count; i++)
        counts = rt_counted_pad(graph, graph->nodes[i].outputs[0]) >= 0;
    return counts;
}

bool rt_is_of_batch(const rt_graph *graph, int value) {
    const rt_value *v = &graph->values[value];
    return v->rank > 0 && v->dims[0] < 0;
}

int rt_strip_scale(const rt_graph *graph, int value, double *scale) {
    double by;
    for (;;) {
        if (rt_with_scalar(graph, value, RT_OP_MUL, &value, &by)) {
            *scale *= by;
        } else if (rt_with_scalar(graph, value, RT_OP_DIV, &value, &by)) {
            *scale /= by;
        } else {
            return value;
        }
    }
}

/* Whether the dims are [batch, seq] with axes of 1 inserted, so that seq is the last axis, or axis 1. */
static bool is_mask_shape(const rt_value *value, bool keys) {
    int at = keys ? value->rank - 1 : 1;
    if (value->rank < 2 || value->dims[0] != RT_DIM_BATCH || value->dims[at] != RT_DIM_SEQ) return false;
    for (int i = 1; i < value->rank; i++) {
        if (i != at && value->dims[i] != 1) return false;
    }
    return true;
}

/* The node that expands a mask to the value; NULL if another operator makes it. */
static const rt_node *widening(const rt_graph *graph, int value) {
    static const rt_op ops[] = {RT_OP_UNSQUEEZE, RT_OP_RESHAPE, RT_OP_IDENTITY, RT_OP_CAST, RT_OP_EXPAND};
    const rt_node *node = NULL;
    for (size_t i = 0; node == NULL && i < sizeof ops / sizeof *ops; i++) {
        node = rt_made_by(graph, value, ops[i]);
    }
    return node;
}

int rt_mask_base(const rt_graph *graph, int value, bool keys) {
    for (const rt_node *node = widening(graph, value); node != NULL; node = widening(graph, value)) {
        bool same_rank = graph->values[value].rank == graph->values[node->inputs[0]].rank;
        bool widened = node->op == RT_OP_CAST || (node->op == RT_OP_EXPAND && same_rank);
        if (!widened && !is_mask_shape(&graph->values[value], keys)) return -1;
        value = node->inputs[0];
    }
    return value >= 0 && is_mask_shape(&graph->values[value], keys) ? value : -1;
}

int rt_mask_input(const rt_graph *graph, int value, bool keys) {
    int base = rt_mask_base(graph, value, keys);
    return base >= 0 && graph->values[base].input && graph->values[base].rank == 2 ? base : -1;
}

int rt_reduced(const rt_graph *graph, int value, rt_op op, int64_t axis, bool keepdims) {
    const rt_node *node = rt_made_by(graph, value, op);
    if (node == NULL || node->attrs.keepdims != keepdims) return -1;
    int64_t found = node->attrs.axis;
    if (node->input_count == 2) {
        const rt_content *axes = &graph->values[node->inputs[REDUCE_AXES]].content;
        if (!axes->known || axes->count != 1 || axes->symbols != 0) return -1;
        found = axes->at[0];
    }
    int rank = graph->values[node->inputs[REDUCE_DATA]].rank;
    if (found < 0) found += rank;
    return found == (axis < 0 ? axis + rank : axis) ? node->inputs[REDUCE_DATA] : -1;
}

bool rt_match_linear(const rt_graph *graph, int value, rt_linear_match *out) {
    const rt_node *node = rt_made_by(graph, value, RT_OP_LINEAR);
    if (node == NULL || node->attrs.out_dtype != RETORT_F32 || node->attrs.gate) return false;
    if (!rt_is_weight(graph, node->inputs[LINEAR_WEIGHT]) &&
        !is_float_constant(graph, node->inputs[LINEAR_WEIGHT], 2, RT_LAYOUT_P16))
        return false;
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    *out = (rt_linear_match){
        .node = graph->values[value].producer,
        .x = node->inputs[LINEAR_X],
        .weight = node->inputs[LINEAR_WEIGHT],
        .bias = rt_operand(node, LINEAR_BIAS),
        .residual = rt_operand(node, LINEAR_RESIDUAL),
        .k = weight->dims[0],
        .n = weight->dims[1],
        .act = node->attrs.act,
        .rotary = rt_operand(node, LINEAR_ROTARY),
        .rotate = node->attrs.rotate,
    };
    return out->bias < 0 || rt_is_bias(graph, out->bias, out->n);
}

bool rt_match_plain_linear(const rt_graph *graph, int value, rt_linear_match *out) {
    return rt_match_linear(graph, value, out) && out->act == RT_FN_NONE && out->residual < 0 &&
           rt_only_reader(graph, value) >= 0;
}

size_t rt_weight_at(const rt_value *weight, int64_t i, int64_t j) {
    size_t k = (size_t)weight->dims[0], n = (size_t)weight->dims[1], row = (size_t)i, column = (size_t)j;
    if (weight->layout == RT_LAYOUT_ROWS) return row * n + column;
    return (column / RT_PANEL * k + row) * RT_PANEL + column % RT_PANEL;
}

/* ---- Edits ---- */

/* The scope of a name: "a.b" of "a.b.matmul", "/a/b" of "/a/b/MatMul"; the whole name if there is none. */
static void scope_of(char *out, size_t size, const char *name) {
    const char *dot = strrchr(name, '.'), *slash = strrchr(name, '/');
    const char *end = slash != NULL && (dot == NULL || slash > dot) ? slash : dot;
    size_t length = end != NULL && end > name ? (size_t)(end - name) : strlen(name);
    snprintf(out, size, "%.*s", (int)length, name);
}

static bool node_name_free(const rt_graph *graph, const char *name) {
    if (graph->links != NULL) return !rt_links_has_node(graph, name);
    for (size_t i = 0; i < graph->node_count; i++) {
        if (strcmp(graph->nodes[i].name, name) == 0) return false;
    }
    return true;
}

bool rt_replace_node(rt_graph *graph, int root, int named, rt_op op, int input_count, const int *inputs,
                     const rt_attrs *attrs) {
    char name[RT_NAME_MAX + 1];
    scope_of(name, sizeof name, graph->nodes[named].name);
    if (!node_name_free(graph, name)) snprintf(name, sizeof name, "%s", graph->nodes[root].name);
    int output = rt_add_node(graph, name, op, input_count, inputs, attrs);
    if (output >= 0) rt_value_replace(graph, graph->nodes[root].outputs[0], output);
    return output >= 0;
}

int rt_add_node(rt_graph *graph, const char *name, rt_op op, int input_count, const int *inputs,
                const rt_attrs *attrs) {
    return rt_node_output(graph, rt_graph_node(graph, op, name, input_count, inputs, attrs), 0);
}

int rt_add_typed(rt_graph *graph, const char *scope, const char *leaf, retort_dtype dtype, int rank,
                 const int64_t *dims, const void *data) {
    enum { NUMBER = sizeof ".2147483647" };
    char name[RT_NAME_MAX + 1];
    if (data == NULL) return -1;
    snprintf(name, sizeof name, "%s.%s", scope, leaf);
    int taken = rt_value_find(graph, name);
    if (taken >= 0) {
        const char *alone = graph->values[taken].name;
        size_t at = rt_min(strlen(name), sizeof name - NUMBER);
        int number = rt_links_number(graph, alone);
        for (; taken >= 0; taken = rt_value_find(graph, name), number++) {
            snprintf(name + at, sizeof name - at, ".%d", number);
        }
        rt_links_put_number(graph, alone, number);
    }
    return rt_graph_constant(graph, name, dtype, RT_LAYOUT_ROWS, rank, dims, data);
}

int rt_add_constant(rt_graph *graph, const char *scope, const char *leaf, int rank, const int64_t *dims,
                    const float *data) {
    return rt_add_typed(graph, scope, leaf, RETORT_F32, rank, dims, data);
}

int rt_change_constant(rt_graph *graph, int value, int rank, const int64_t *dims, const float *data) {
    if (data == NULL) return -1;
    if (rt_value_uses(graph, value) != 1) {
        char scope[RT_NAME_MAX + 1];
        const char *name = graph->values[value].name;
        scope_of(scope, sizeof scope, name);
        rt_layout layout = graph->values[value].layout;
        int added = rt_add_constant(graph, scope, name + strlen(scope) + (name[strlen(scope)] != '\0'), rank,
                                    dims, data);
        if (added >= 0) graph->values[added].layout = layout;
        return added;
    }
    rt_value *v = &graph->values[value];
    v->rank = rank;
    memcpy(v->dims, dims, (size_t)rank * sizeof *dims);
    v->data = data;
    return value;
}

float *rt_floats(rt_graph *graph, int64_t rows, int64_t columns) {
    size_t count, bytes;
    if (!rt_mul((size_t)rows, (size_t)columns, &count) || !rt_mul(count, sizeof(float), &bytes)) {
        bytes = SIZE_MAX;
    }
    return rt_graph_alloc(graph, bytes);
}

int rt_columns_of(rt_graph *graph, int value, const char *scope, const char *leaf, int64_t from, int64_t n) {
    const rt_value v = graph->values[value];
    int64_t rows = v.rank == 2 ? v.dims[0] : 1;
    const float *data = v.data;
    float *part = rt_floats(graph, rows, n);
    for (int64_t i = 0; part != NULL && i < rows; i++) {
        for (int64_t j = 0; j < n; j++)
            part[i * n + j] = data[v.rank == 2 ? rt_weight_at(&v, i, from + j) : (size_t)(from + j)];
    }
    return v.rank == 2 ? rt_add_constant(graph, scope, leaf, 2, (int64_t[]){rows, n}, part)
                       : rt_add_constant(graph, scope, leaf, 1, &n, part);
}

bool rt_slice_part(const rt_graph *graph, const rt_node *slice, int axis, int64_t n, int64_t *from,
                   int64_t *to) {
    double start, end, along, step = 1;
    int rank = graph->values[slice->inputs[SLICE_DATA]].rank;
    if (rt_operand(slice, SLICE_AXES) < 0 || !rt_scalar(graph, slice->inputs[SLICE_STARTS], &start) ||
        !rt_scalar(graph, slice->inputs[SLICE_ENDS], &end) ||
        !rt_scalar(graph, slice->inputs[SLICE_AXES], &along) || (along < 0 ? along + rank : along) != axis)
        return false;
    int steps = rt_operand(slice, SLICE_STEPS);
    if (steps >= 0 && (!rt_scalar(graph, steps, &step) || step != 1)) return false;
    *from = (int64_t)start;
    *to = end > (double)n ? n : (int64_t)end;
    return start >= 0 && *from < *to && *to - *from < n;
}
