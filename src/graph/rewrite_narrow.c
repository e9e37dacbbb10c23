/* SPDX-License-Identifier: Apache-2.0
 * Level 3: the inputs of Linear nodes in the dtype that their weights want, narrowed by whoever makes them.
 */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>

/* The dtype that the node reads its x in; RETORT_F32 also for other operators. */
static retort_dtype wanted(const rt_graph *graph, const rt_node *node) {
    return node->op == RT_OP_LINEAR ? rt_linear_input(&graph->values[node->inputs[1]]) : RETORT_F32;
}

/* Whether the value is read as the x of Linears that want it so, and as nothing else. */
static bool is_only_read_as(const rt_graph *graph, int value, retort_dtype dtype) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] == value && (k != 0 || wanted(graph, node) != dtype)) return false;
        }
    }
    return graph->output != value;
}

/* Embed and LayerNorm write a narrow twin beside their floats. */
static bool writes_twin(const rt_node *node, retort_dtype dtype) {
    return (node->op == RT_OP_EMBED || node->op == RT_OP_LAYER_NORM) &&
           (node->attrs.narrow == RETORT_F32 || node->attrs.narrow == dtype);
}

/* Attention and float Linears write bf16 in place of their floats. */
static bool writes_narrow(const rt_graph *graph, const rt_node *node, retort_dtype dtype) {
    bool able = node->op == RT_OP_ATTENTION || (node->op == RT_OP_LINEAR && wanted(graph, node) != RETORT_S8);
    return able && dtype == RETORT_BF16 && is_only_read_as(graph, node->outputs[0], dtype);
}

/* A Narrow of the value: the one that is there, or a new one. -1: the graph's fault says why. */
static int narrow_node(rt_graph *graph, int value, retort_dtype dtype) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op == RT_OP_NARROW && node->inputs[0] == value && node->attrs.narrow == dtype) {
            return node->outputs[0];
        }
    }
    char name[RT_NAME_MAX + 16];
    int producer = graph->values[value].producer;
    const char *of = producer >= 0 ? graph->nodes[producer].name : graph->values[value].name;
    rt_attrs attrs = {.narrow = dtype};
    snprintf(name, sizeof name, "%s.%s", of, dtype == RETORT_S8 ? "quantize" : "narrow");
    return rt_add_node(graph, name, RT_OP_NARROW, 1, &value, &attrs);
}

static retort_status narrowed(rt_graph *graph, int value, retort_dtype dtype, int *out, retort_error *err) {
    int producer = graph->values[value].producer;
    rt_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    bool twin = node != NULL && writes_twin(node, dtype);
    if (twin || (node != NULL && writes_narrow(graph, node, dtype))) {
        node->attrs.narrow = dtype;
        retort_status status = rt_node_update(graph, producer, err);
        *out = twin && status == RETORT_OK ? graph->nodes[producer].outputs[1] : value;
        return status;
    }
    *out = narrow_node(graph, value, dtype);
    return *out >= 0 ? RETORT_OK : rt_fail(err, graph->fault.status, "%s", graph->fault.text);
}

retort_status rt_graph_narrow_inputs(rt_graph *graph, retort_error *err) {
    size_t count = graph->node_count;
    for (size_t i = 0; i < count; i++) {
        int x = graph->nodes[i].inputs[0];
        retort_dtype dtype = wanted(graph, &graph->nodes[i]);
        if (dtype == RETORT_F32 || graph->values[x].dtype == dtype) continue;
        retort_status status = narrowed(graph, x, dtype, &x, err);
        if (status != RETORT_OK) return status;
        graph->nodes[i].inputs[0] = x;
    }
    retort_status status = rt_graph_sweep(graph, err);
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
