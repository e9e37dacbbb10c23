/* SPDX-License-Identifier: Apache-2.0
 * Level 3: makes batches ragged. Padded rows [batch, seq] become rows of all tokens [tokens], and masks are
 * removed. */
#include "graph/infer.h"
#include "graph/match.h"

static bool has_seq(const rt_graph *graph, int value) {
    const rt_value *v = &graph->values[value];
    for (int i = 0; value >= 0 && i < v->rank; i++) {
        if (v->dims[i] == RT_DIM_SEQ) return true;
    }
    return false;
}

/* Operators of level 2 know ragged rows. */
static bool is_fused(const rt_node *node) {
    return rt_op_info(node->op)->level >= 2;
}

/* Element-wise operators compute the same on ragged rows if their operands are such rows, or one row for
 * all. */
static bool is_row_wise(const rt_graph *graph, const rt_node *node) {
    static const rt_op ops[] = {RT_OP_ADD,      RT_OP_SUB, RT_OP_MUL,     RT_OP_DIV,  RT_OP_POW,
                                RT_OP_MAX,      RT_OP_ERF, RT_OP_TANH,    RT_OP_RELU, RT_OP_SIGMOID,
                                RT_OP_SOFTPLUS, RT_OP_LOG, RT_OP_IDENTITY};
    bool known = false;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) known |= node->op == ops[i];
    for (int k = 0; known && k < node->input_count; k++) {
        const rt_value *in = &graph->values[node->inputs[k]];
        known =
            rt_same_dims(in, &graph->values[node->outputs[0]]) || (rt_value_is_constant(in) && in->rank < 2);
    }
    return known && graph->values[node->outputs[0]].rank == 3;
}

/* Whether a node computes the same on ragged rows. */
static bool is_ready(const rt_graph *graph, const rt_node *node) {
    bool padded = false;
    for (int k = 0; k < node->input_count; k++) padded |= has_seq(graph, node->inputs[k]);
    for (int k = 0; k < node->output_count; k++) padded |= has_seq(graph, node->outputs[k]);
    return !padded || is_fused(node) || is_row_wise(graph, node);
}

retort_status rt_rewrite_remove_padding(rt_graph *graph, size_t *count, retort_error *err) {
    int ids = rt_value_find(graph, "input_ids");
    if (ids < 0 || graph->values[ids].rank != 2) return RETORT_OK;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (is_ready(graph, node)) continue;
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%.200s: %s needs padded batches, so this graph stays at level 2", node->name,
                       rt_op_info(node->op)->text);
    }
    for (size_t i = 0; i < graph->value_count; i++) {
        rt_value *value = &graph->values[i];
        if (!value->input) continue;
        value->rank = 1;
        value->dims[0] = RT_DIM_TOKENS;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_ATTENTION) rt_node_drop(graph, (int)i, node->attrs.parts, ATTENTION_CONSTANTS);
        bool last = node->op == RT_OP_SELECT && node->attrs.select == RT_SELECT_LAST;
        if (node->op == RT_OP_POOL || last) node->input_count = 1;
    }
    *count += 1;
    retort_status status = rt_graph_sweep(graph, err);
    return status == RETORT_OK ? rt_graph_infer(graph, err) : status;
}
