/* SPDX-License-Identifier: Apache-2.0
 * Level 3: makes batches ragged. Padded rows [batch, seq] become rows of all tokens [tokens], and masks are
 * removed. */
#include "graph/infer.h"
#include "graph/match.h"

#include <stdlib.h>

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

/* The rows of which a mask of tokens makes those of padding zeros: the operand of Mul; -1: another node. */
static int masked_rows(const rt_graph *graph, const rt_node *node) {
    for (int k = 0; node->op == RT_OP_MUL && k < 2; k++) {
        int mask = node->inputs[k], x = node->inputs[1 - k];
        const rt_value *m = &graph->values[mask], *v = &graph->values[x];
        bool rows = m->rank == 3 && m->dims[2] == 1 && v->rank == 3 && v->dtype == RETORT_F32 &&
                    rt_mask_input(graph, mask, false) >= 0;
        if (rows && rt_same_dims(v, &graph->values[node->outputs[0]])) return x;
    }
    return -1;
}

/* Whether a node computes the same on ragged rows. */
static bool is_ready(const rt_graph *graph, const rt_node *node) {
    bool padded = false;
    for (int k = 0; k < node->input_count; k++) padded |= has_seq(graph, node->inputs[k]);
    for (int k = 0; k < node->output_count; k++) padded |= has_seq(graph, node->outputs[k]);
    return !padded || is_fused(node) || is_row_wise(graph, node);
}

/* Marks the values that are read when rows are no longer masked. */
static void mark_needed(const rt_graph *graph, bool *needed) {
    needed[graph->output] = true;
    for (size_t i = graph->node_count; i-- > 0;) {
        const rt_node *node = &graph->nodes[i];
        bool here = false;
        for (int k = 0; k < node->output_count; k++) here |= needed[node->outputs[k]];
        int x = masked_rows(graph, node);
        for (int k = 0; here && k < node->input_count; k++) {
            if (node->inputs[k] >= 0 && (x < 0 || node->inputs[k] == x)) needed[node->inputs[k]] = true;
        }
    }
}

/* Whether all nodes that are needed compute the same on ragged rows. */
static retort_status check_ready(const rt_graph *graph, retort_error *err) {
    bool *needed = rt_calloc(graph->value_count, sizeof *needed);
    retort_status status = needed != NULL ? RETORT_OK : rt_fail_nomem(err, graph->value_count);
    if (needed != NULL) mark_needed(graph, needed);
    for (size_t i = 0; i < graph->node_count && status == RETORT_OK; i++) {
        const rt_node *node = &graph->nodes[i];
        if (!needed[node->outputs[0]] || masked_rows(graph, node) >= 0 || is_ready(graph, node)) continue;
        status = rt_fail(err, RETORT_UNSUPPORTED,
                         "%.200s: %s needs padded batches, so this graph stays at level 2", node->name,
                         rt_op_info(node->op)->text);
    }
    free(needed);
    return status;
}

/* Rows of padding go: what makes them zeros has no effect any more. */
static retort_status unmask_rows(rt_graph *graph, retort_error *err) {
    for (size_t i = 0; i < graph->node_count; i++) {
        int x = masked_rows(graph, &graph->nodes[i]);
        if (x >= 0) rt_value_replace(graph, graph->nodes[i].outputs[0], x);
    }
    return rt_graph_sweep(graph, err);
}

retort_status rt_rewrite_remove_padding(rt_graph *graph, size_t *count, retort_error *err) {
    int ids = rt_value_find(graph, "input_ids");
    if (ids < 0 || graph->values[ids].rank != 2) return RETORT_OK;
    retort_status status = check_ready(graph, err);
    if (status == RETORT_OK) status = unmask_rows(graph, err);
    if (status != RETORT_OK) return status;
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
    status = rt_graph_sweep(graph, err);
    return status == RETORT_OK ? rt_graph_infer(graph, err) : status;
}
