/* SPDX-License-Identifier: Apache-2.0
 * Level 3: weights of Linear nodes in the layout that the kernels compute in, and in bf16. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>

/* Whether only Linear nodes read the value, as their weight. */
static bool is_weight_only(const rt_graph *graph, int value) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] == value && (node->op != RT_OP_LINEAR || k != 1)) return false;
        }
    }
    return graph->output != value;
}

static bool pack_weight(rt_graph *graph, int index) {
    const rt_node *node = &graph->nodes[index];
    if (node->op != RT_OP_LINEAR || !rt_is_weight(graph, node->inputs[1])) return false;
    int weight = node->inputs[1];
    const rt_value v = graph->values[weight];
    size_t k = (size_t)v.dims[0], n = (size_t)v.dims[1], count;
    if (v.data == NULL || !rt_pack_count_f32(k, n, &count) || count > SIZE_MAX / sizeof(float)) return false;
    float *packed = rt_graph_alloc(graph, count * sizeof *packed);
    if (packed == NULL) return false;
    rt_pack_f32(k, n, v.data, n, 1, packed);
    if (!is_weight_only(graph, weight)) {
        weight = rt_add_constant(graph, graph->nodes[index].name, "weight", 2, v.dims, packed);
        if (weight < 0) return false;
        graph->nodes[index].inputs[1] = weight;
    }
    graph->values[weight].layout = RT_LAYOUT_P16;
    graph->values[weight].data = packed;
    return true;
}

retort_status rt_rewrite_pack_weights(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, pack_weight, count, err);
}

/* ---- bf16 ---- */

/* Fewer columns are a head's logits: they cost nothing, and their rounding would be seen. */
enum { LEAST_COLUMNS = 64 };

static bool takes_bf16(const rt_graph *graph, const rt_node *node) {
    if (node->op != RT_OP_LINEAR) return false;
    const rt_value *weight = &graph->values[node->inputs[1]];
    return weight->layout != RT_LAYOUT_ROWS && weight->data != NULL && weight->dims[1] >= LEAST_COLUMNS;
}

/* p16 to p16_bf16, a panel at a time: a panel is a row-major [k, 16] matrix. */
static bool narrow_weight(rt_graph *graph, int index) {
    const rt_value v = graph->values[index];
    size_t k = (size_t)v.dims[0], n = (size_t)v.dims[1], count;
    if (v.layout != RT_LAYOUT_P16) return true;
    if (!rt_pack_count_bf16(k, n, &count) || count > SIZE_MAX / sizeof(uint16_t)) return false;
    uint16_t *narrow = rt_graph_alloc(graph, count * sizeof *narrow);
    if (narrow == NULL) return false;
    size_t panels = (n + RT_PANEL - 1) / RT_PANEL;
    for (size_t p = 0; p < panels; p++) {
        const float *panel = (const float *)v.data + p * k * RT_PANEL;
        rt_pack_bf16(k, RT_PANEL, panel, RT_PANEL, 1, narrow + p * (count / panels));
    }
    rt_value *value = &graph->values[index];
    value->dtype = RETORT_BF16;
    value->layout = RT_LAYOUT_P16_BF16;
    value->data = narrow;
    return true;
}

/* Whether the value is read as the x of bf16 Linears, and as nothing else. */
static bool is_read_narrow(const rt_graph *graph, int value) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] == value && (k != 0 || !takes_bf16(graph, node))) return false;
        }
    }
    return graph->output != value;
}

/* The value in bf16: its producer's second output, or itself narrowed, or a Narrow of it. */
static retort_status narrowed(rt_graph *graph, int value, int *out, retort_error *err) {
    int producer = graph->values[value].producer;
    rt_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    bool twice = node != NULL && (node->op == RT_OP_EMBED || node->op == RT_OP_LAYER_NORM);
    bool alone = node != NULL && (node->op == RT_OP_LINEAR || node->op == RT_OP_ATTENTION) &&
                 is_read_narrow(graph, value);
    if (twice || alone) {
        node->attrs.narrow = true;
        retort_status status = rt_node_update(graph, producer, err);
        *out = twice && status == RETORT_OK ? graph->nodes[producer].outputs[1] : value;
        return status;
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op == RT_OP_NARROW && graph->nodes[i].inputs[0] == value) {
            *out = graph->nodes[i].outputs[0];
            return RETORT_OK;
        }
    }
    char name[RT_NAME_MAX + 16];
    snprintf(name, sizeof name, "%s.narrow", node != NULL ? node->name : graph->values[value].name);
    *out = rt_add_node(graph, name, RT_OP_NARROW, 1, &value, NULL);
    return *out >= 0 ? RETORT_OK : rt_fail(err, graph->fault.status, "%s", graph->fault.text);
}

retort_status rt_graph_use_bf16(rt_graph *graph, retort_error *err) {
    if (graph->level < 3) {
        return rt_fail(err, RETORT_ARGUMENT, "bf16 weights need a graph of level 3, this one has level %d",
                       graph->level);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        bool takes = takes_bf16(graph, &graph->nodes[i]);
        if (takes && !narrow_weight(graph, graph->nodes[i].inputs[1])) {
            return rt_fail_nomem(err, 0);
        }
    }
    size_t count = graph->node_count;
    for (size_t i = 0; i < count; i++) {
        int x = graph->nodes[i].inputs[0];
        if (!takes_bf16(graph, &graph->nodes[i]) || graph->values[x].dtype == RETORT_BF16) continue;
        retort_status status = narrowed(graph, x, &x, err);
        if (status != RETORT_OK) return status;
        graph->nodes[i].inputs[0] = x;
    }
    retort_status status = rt_graph_sweep(graph, err);
    if (status == RETORT_OK) status = rt_graph_infer(graph, err);
    return status == RETORT_OK ? rt_graph_verify(graph, err) : status;
}
