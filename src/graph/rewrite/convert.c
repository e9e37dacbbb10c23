/* SPDX-License-Identifier: Apache-2.0
 * Level 3: converts the inputs of Linear nodes to the dtype that their weights want, in the node that makes them
 * where it can. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>

/* Who reads a value, and the Convert of it, if there is one, by dtype: bf16, s8. */
typedef struct use {
    bool reads[2]; /* as x of a Linear that wants this dtype */
    bool other;
    int converted[2]; /* the Convert's output, -1: none */
} use;

typedef struct conversion {
    rt_graph *graph;
    use *uses; /* [values before the rewrite] */
} conversion;

static int which(retort_dtype dtype) {
    return dtype == RETORT_S8;
}

/* The dtype that the node reads its x in; RETORT_F32 also for other operators. */
static retort_dtype wanted(const rt_graph *graph, const rt_node *node) {
    return node->op == RT_OP_LINEAR ? rt_linear_input(&graph->values[node->inputs[LINEAR_WEIGHT]])
                                    : RETORT_F32;
}

static void note_node(const conversion *c, const rt_node *node) {
    retort_dtype dtype = wanted(c->graph, node);
    for (int k = 0; k < node->input_count; k++) {
        if (node->inputs[k] < 0) continue;
        use *u = &c->uses[node->inputs[k]];
        bool x = k == 0 && dtype != RETORT_F32;
        *(x ? &u->reads[which(dtype)] : &u->other) = true;
    }
    if (node->op != RT_OP_CONVERT || node->attrs.out_dtype == RETORT_F32) return;
    int *converted = &c->uses[node->inputs[CONVERT_X]].converted[which(node->attrs.out_dtype)];
    if (*converted < 0) *converted = node->outputs[0];
}

static bool note_uses(conversion *c, rt_graph *graph) {
    *c = (conversion){graph, rt_calloc(graph->value_count, sizeof *c->uses)};
    if (c->uses == NULL) return false;
    for (size_t i = 0; i < graph->value_count; i++) c->uses[i].converted[0] = c->uses[i].converted[1] = -1;
    for (size_t i = 0; i < graph->node_count; i++) note_node(c, &graph->nodes[i]);
    if (graph->output >= 0) c->uses[graph->output].other = true;
    return true;
}

/* Embed and LayerNorm can write a converted copy beside their floats. */
static bool can_copy(const rt_node *node, retort_dtype dtype) {
    return (node->op == RT_OP_EMBED || node->op == RT_OP_LAYER_NORM) &&
           (node->attrs.out_dtype == RETORT_F32 || node->attrs.out_dtype == dtype);
}

/* Attention and float Linears can write bf16 in place of their floats, if all readers want it. */
static bool can_write(const conversion *c, const rt_node *node, retort_dtype dtype) {
    const use *u = &c->uses[node->outputs[0]];
    bool able =
        node->op == RT_OP_ATTENTION || (node->op == RT_OP_LINEAR && wanted(c->graph, node) != RETORT_S8);
    return able && dtype == RETORT_BF16 && !u->other && !u->reads[which(RETORT_S8)];
}

/* The output of the value's Convert, which is appended if there is none. -1: graph->fault says why. */
static int convert_after(const conversion *c, int value, retort_dtype dtype) {
    use *u = &c->uses[value];
    int *converted = &u->converted[which(dtype)], producer = c->graph->values[value].producer;
    if (*converted >= 0) return *converted;
    char name[RT_NAME_MAX + 16];
    const char *of = producer >= 0 ? c->graph->nodes[producer].name : c->graph->values[value].name;
    rt_attrs attrs = {.out_dtype = dtype};
    snprintf(name, sizeof name, "%s.%s", of, dtype == RETORT_S8 ? "quantize" : "narrow");
    *converted = rt_add_node(c->graph, name, RT_OP_CONVERT, 1, &value, &attrs);
    u->other = true;
    return *converted;
}

static retort_status convert(const conversion *c, int value, retort_dtype dtype, int *out,
                             retort_error *err) {
    rt_graph *graph = c->graph;
    int producer = graph->values[value].producer;
    rt_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    bool copy = node != NULL && can_copy(node, dtype);
    if (copy || (node != NULL && can_write(c, node, dtype))) {
        node->attrs.out_dtype = dtype;
        retort_status status = rt_node_update(graph, producer, err);
        *out = copy && status == RETORT_OK ? graph->nodes[producer].outputs[1] : value;
        return status;
    }
    *out = convert_after(c, value, dtype);
    return *out >= 0 ? RETORT_OK : rt_fail(err, graph->fault.status, "%s", graph->fault.text);
}

static retort_status convert_all(const conversion *c, retort_error *err) {
    rt_graph *graph = c->graph;
    size_t count = graph->node_count;
    for (size_t i = 0; i < count; i++) {
        int x = graph->nodes[i].inputs[0];
        retort_dtype dtype = wanted(graph, &graph->nodes[i]);
        if (dtype == RETORT_F32 || graph->values[x].dtype == dtype) continue;
        retort_status status = convert(c, x, dtype, &x, err);
        if (status != RETORT_OK) return status;
        graph->nodes[i].inputs[0] = x;
    }
    return RETORT_OK;
}

retort_status rt_graph_convert_inputs(rt_graph *graph, retort_error *err) {
    conversion c;
    size_t values = graph->value_count;
    retort_status status =
        note_uses(&c, graph) ? convert_all(&c, err) : rt_fail_nomem(err, values * sizeof *c.uses);
    free(c.uses);
    if (status == RETORT_OK) status = rt_graph_sweep(graph, err);
    if (status == RETORT_OK) status = rt_graph_infer(graph, err);
    return status == RETORT_OK ? rt_graph_verify(graph, err) : status;
}

void rt_graph_use_integers(rt_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        bool tables = node->input_count > ATTENTION_POS_KEY;
        bool all = node->op == RT_OP_ATTENTION && node->attrs.select == RT_SELECT_ALL && !tables;
        int64_t hidden = all ? graph->values[node->outputs[0]].dims[1] : 0;
        if (all && hidden / node->attrs.heads <= RT_ATTENTION_S8_DIM) node->attrs.integers = true;
    }
}
