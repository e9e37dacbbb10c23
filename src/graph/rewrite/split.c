/* SPDX-License-Identifier: Apache-2.0
 * Level 2: a Linear whose columns are read in parts becomes one for each part, which others then fuse: Q, K and V, or both
 * factors of a gate, that a checkpoint has as one matrix. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>

/* The Linear that makes the value, if it is float and plain. */
static bool match_whole(const rt_graph *graph, int value, rt_linear_match *out) {
    return rt_match_linear(graph, value, out) && out->act == RT_FN_NONE && out->residual < 0 &&
           out->rotary < 0 && graph->nodes[out->node].attrs.heads == 0 && rt_is_weight(graph, out->weight) &&
           graph->values[out->weight].data != NULL &&
           (out->bias < 0 || graph->values[out->bias].data != NULL);
}

/* Inputs of a Linear with columns from…to-1 of another one; returns their count, 0 after a failure. */
static int part_inputs(rt_graph *graph, const char *scope, const rt_linear_match *whole, int64_t from,
                       int64_t to, int inputs[3]) {
    inputs[0] = whole->x;
    inputs[1] = rt_columns_of(graph, whole->weight, scope, "weight", from, to - from);
    inputs[2] = whole->bias >= 0 ? rt_columns_of(graph, whole->bias, scope, "bias", from, to - from) : -1;
    if (inputs[1] < 0 || (whole->bias >= 0 && inputs[2] < 0)) return 0;
    return whole->bias >= 0 ? 3 : 2;
}

/* x[…, from:to] */
static bool split_columns(rt_graph *graph, int index) {
    const rt_node slice = graph->nodes[index];
    rt_linear_match whole;
    int64_t from, to;
    int inputs[3];
    if (slice.op != RT_OP_SLICE || !match_whole(graph, slice.inputs[SLICE_DATA], &whole) ||
        !rt_slice_part(graph, &slice, graph->values[slice.inputs[SLICE_DATA]].rank - 1, whole.n, &from, &to))
        return false;
    int count = part_inputs(graph, slice.name, &whole, from, to, inputs);
    return count > 0 && rt_replace_node(graph, index, index, RT_OP_LINEAR, count, inputs, NULL);
}

/* Part `*at` of x as [batch, seq, parts, heads, dim], without that axis: the Reshape before, or NULL. */
static const rt_node *split_before(const rt_graph *graph, const rt_node *node, int64_t *at) {
    int64_t to;
    double number;
    const rt_node *reshape = NULL;
    if (node->op == RT_OP_SQUEEZE) {
        const rt_node *slice = rt_made_by(graph, node->inputs[0], RT_OP_SLICE);
        reshape = slice != NULL ? rt_made_by(graph, slice->inputs[SLICE_DATA], RT_OP_RESHAPE) : NULL;
        bool fits = reshape != NULL && graph->values[reshape->outputs[0]].rank == 5 &&
                    rt_scalar(graph, node->inputs[1], &number) && (number == 2 || number == -3) &&
                    rt_slice_part(graph, slice, 2, graph->values[reshape->outputs[0]].dims[2], at, &to) &&
                    to == *at + 1;
        return fits ? reshape : NULL;
    }
    if (node->op != RT_OP_GATHER || !rt_scalar(graph, node->inputs[GATHER_INDICES], &number) || number < 0)
        return NULL;
    reshape = rt_made_by(graph, node->inputs[GATHER_DATA], RT_OP_RESHAPE);
    *at = (int64_t)number;
    bool fits = reshape != NULL && graph->values[node->inputs[GATHER_INDICES]].rank == 0 &&
                graph->values[reshape->outputs[0]].rank == 5 &&
                (node->attrs.axis == 2 || node->attrs.axis == -3);
    return fits ? reshape : NULL;
}

static bool split_heads(rt_graph *graph, int index) {
    const rt_node node = graph->nodes[index];
    rt_linear_match whole;
    int64_t at;
    int inputs[3];
    const rt_node *reshape = split_before(graph, &node, &at);
    if (reshape == NULL || !match_whole(graph, reshape->inputs[0], &whole)) return false;
    const rt_value v = graph->values[reshape->outputs[0]], *x = &graph->values[reshape->inputs[0]];
    int64_t n = v.dims[3] * v.dims[4];
    if (x->rank != 3 || v.dims[0] != x->dims[0] || v.dims[1] != x->dims[1] || v.dims[2] < 1 ||
        v.dims[3] < 1 || v.dims[4] < 1 || v.dims[2] * n != whole.n || at >= v.dims[2])
        return false;
    char name[RT_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s.columns", node.name);
    int count = part_inputs(graph, node.name, &whole, at * n, (at + 1) * n, inputs);
    int64_t *shape = rt_graph_alloc(graph, 4 * sizeof *shape);
    if (count == 0 || shape == NULL) return false;
    shape[2] = v.dims[3]; /* after two that stay */
    shape[3] = v.dims[4];
    int part = rt_add_node(graph, name, RT_OP_LINEAR, count, inputs, NULL);
    int target = rt_add_typed(graph, node.name, "shape", RETORT_I64, 1, (int64_t[]){4}, shape);
    return part >= 0 && target >= 0 &&
           rt_replace_node(graph, index, index, RT_OP_RESHAPE, 2, (int[]){part, target}, NULL);
}

static bool split(rt_graph *graph, int index) {
    return split_columns(graph, index) || split_heads(graph, index);
}

retort_status rt_rewrite_split_linear(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, split, count, err);
}
