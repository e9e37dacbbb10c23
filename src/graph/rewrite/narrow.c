/* SPDX-License-Identifier: Apache-2.0
 * Level 3: the inputs of Linear nodes in the dtype that their weights want, narrowed by whoever
 * makes them. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>

/* What reads a value of the graph as it was, and the Narrow of it that there is, by the dtype: bf16, s8. */
typedef struct use {
    bool reads[2]; /* as x of a Linear that wants it so */
    bool other;
    int narrow[2]; /* the Narrow's output, -1: none */
} use;

typedef struct narrowing {
    rt_graph *graph;
    use *uses; /* [values that there were] */
} narrowing;

static int which(retort_dtype dtype) {
    return dtype == RETORT_S8;
}

/* The dtype that the node reads its x in; RETORT_F32 also for other operators. */
static retort_dtype wanted(const rt_graph *graph, const rt_node *node) {
    return node->op == RT_OP_LINEAR ? rt_linear_input(&graph->values[node->inputs[LINEAR_WEIGHT]])
                                    : RETORT_F32;
}

static void note_node(const narrowing *n, const rt_node *node) {
    retort_dtype dtype = wanted(n->graph, node);
    for (int k = 0; k < node->input_count; k++) {
        if (node->inputs[k] < 0) continue;
        use *u = &n->uses[node->inputs[k]];
        bool x = k == 0 && dtype != RETORT_F32;
        *(x ? &u->reads[which(dtype)] : &u->other) = true;
    }
    if (node->op != RT_OP_NARROW || node->attrs.narrow == RETORT_F32) return;
    int *narrow = &n->uses[node->inputs[NARROW_X]].narrow[which(node->attrs.narrow)];
    if (*narrow < 0) *narrow = node->outputs[0];
}

static bool note_uses(narrowing *n, rt_graph *graph) {
    *n = (narrowing){graph, rt_calloc(graph->value_count, sizeof *n->uses)};
    if (n->uses == NULL) return false;
    for (size_t i = 0; i < graph->value_count; i++) n->uses[i].narrow[0] = n->uses[i].narrow[1] = -1;
    for (size_t i = 0; i < graph->node_count; i++) note_node(n, &graph->nodes[i]);
    if (graph->output >= 0) n->uses[graph->output].other = true;
    return true;
}

/* Embed and LayerNorm write a narrow twin beside their floats. */
static bool writes_twin(const rt_node *node, retort_dtype dtype) {
    return (node->op == RT_OP_EMBED || node->op == RT_OP_LAYER_NORM) &&
           (node->attrs.narrow == RETORT_F32 || node->attrs.narrow == dtype);
}

/* Attention and float Linears write bf16 in place of their floats, where all readers want it so. */
static bool writes_narrow(const narrowing *n, const rt_node *node, retort_dtype dtype) {
    const use *u = &n->uses[node->outputs[0]];
    bool able =
        node->op == RT_OP_ATTENTION || (node->op == RT_OP_LINEAR && wanted(n->graph, node) != RETORT_S8);
    return able && dtype == RETORT_BF16 && !u->other && !u->reads[which(RETORT_S8)];
}

/* A Narrow of the value: the one that is there, or a new one. -1: the graph's fault says why. */
static int narrow_node(const narrowing *n, int value, retort_dtype dtype) {
    use *u = &n->uses[value];
    int *narrow = &u->narrow[which(dtype)], producer = n->graph->values[value].producer;
    if (*narrow >= 0) return *narrow;
    char name[RT_NAME_MAX + 16];
    const char *of = producer >= 0 ? n->graph->nodes[producer].name : n->graph->values[value].name;
    rt_attrs attrs = {.narrow = dtype};
    snprintf(name, sizeof name, "%s.%s", of, dtype == RETORT_S8 ? "quantize" : "narrow");
    *narrow = rt_add_node(n->graph, name, RT_OP_NARROW, 1, &value, &attrs);
    u->other = true;
    return *narrow;
}

static retort_status narrowed(const narrowing *n, int value, retort_dtype dtype, int *out,
                              retort_error *err) {
    rt_graph *graph = n->graph;
    int producer = graph->values[value].producer;
    rt_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    bool twin = node != NULL && writes_twin(node, dtype);
    if (twin || (node != NULL && writes_narrow(n, node, dtype))) {
        node->attrs.narrow = dtype;
        retort_status status = rt_node_update(graph, producer, err);
        *out = twin && status == RETORT_OK ? graph->nodes[producer].outputs[1] : value;
        return status;
    }
    *out = narrow_node(n, value, dtype);
    return *out >= 0 ? RETORT_OK : rt_fail(err, graph->fault.status, "%s", graph->fault.text);
}

static retort_status narrow_all(const narrowing *n, retort_error *err) {
    rt_graph *graph = n->graph;
    size_t count = graph->node_count;
    for (size_t i = 0; i < count; i++) {
        int x = graph->nodes[i].inputs[0];
        retort_dtype dtype = wanted(graph, &graph->nodes[i]);
        if (dtype == RETORT_F32 || graph->values[x].dtype == dtype) continue;
        retort_status status = narrowed(n, x, dtype, &x, err);
        if (status != RETORT_OK) return status;
        graph->nodes[i].inputs[0] = x;
    }
    return RETORT_OK;
}

retort_status rt_graph_narrow_inputs(rt_graph *graph, retort_error *err) {
    narrowing n;
    size_t values = graph->value_count;
    retort_status status =
        note_uses(&n, graph) ? narrow_all(&n, err) : rt_fail_nomem(err, values * sizeof *n.uses);
    free(n.uses);
    if (status == RETORT_OK) status = rt_graph_sweep(graph, err);
    if (status == RETORT_OK) status = rt_graph_infer(graph, err);
    return status == RETORT_OK ? rt_graph_verify(graph, err) : status;
}

void rt_graph_use_int16(rt_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        bool all = node->op == RT_OP_ATTENTION && node->attrs.select == RT_SELECT_ALL;
        int64_t hidden = all ? graph->values[node->outputs[0]].dims[1] : 0;
        if (all && hidden / node->attrs.heads <= RT_ATTENTION_S16_DIM) node->attrs.int16 = true;
    }
}
