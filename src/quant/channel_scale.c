/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/channel_scale.h"
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rt_channel_scale_free(rt_channel_scale *scaling) {
    free(scaling->factor);
    free(scaling->add);
    *scaling = (rt_channel_scale){0};
}

bool rt_can_scale_channels(const rt_graph *graph, int node) {
    int x = graph->nodes[node].inputs[LINEAR_X], weight = graph->nodes[node].inputs[LINEAR_WEIGHT];
    if (graph->nodes[node].attrs.heads > 1 || graph->values[x].dtype != RETORT_F32) return false;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *other = &graph->nodes[i];
        if ((int)i == node || other->op != RT_OP_LINEAR) continue;
        if (other->inputs[LINEAR_X] == x || other->inputs[LINEAR_WEIGHT] == weight) return false;
    }
    return true;
}

retort_status rt_shift_bias(rt_graph *graph, int weight, const double *shift, retort_error *err) {
    int64_t n = graph->values[weight].dims[1];
    for (size_t i = 0; i < graph->node_count; i++) {
        if (graph->nodes[i].op != RT_OP_LINEAR || graph->nodes[i].inputs[LINEAR_WEIGHT] != weight) continue;
        int old = graph->nodes[i].input_count > LINEAR_BIAS ? graph->nodes[i].inputs[LINEAR_BIAS] : -1;
        float *bias = rt_floats(graph, 1, n);
        const float *from = old >= 0 ? graph->values[old].data : NULL;
        for (int64_t j = 0; bias != NULL && j < n; j++) {
            bias[j] = (float)((from != NULL ? (double)from[j] : 0) + shift[j]);
        }
        int value = old >= 0 ? rt_change_constant(graph, old, 1, &n, bias) : -1;
        if (old < 0 && bias != NULL)
            value = rt_add_constant(graph, graph->nodes[i].name, "bias", 1, &n, bias);
        if (value < 0) return rt_fail_nomem(err, (size_t)n * sizeof *bias);
        rt_node_read(graph, (int)i, LINEAR_BIAS, value);
    }
    return RETORT_OK;
}

retort_status rt_channel_scale_weight(rt_graph *graph, int node, const rt_channel_scale *scaling,
                                      retort_error *err) {
    int weight = graph->nodes[node].inputs[LINEAR_WEIGHT];
    size_t k = (size_t)graph->values[weight].dims[0], n = (size_t)graph->values[weight].dims[1];
    size_t panels = (n + RT_PANEL - 1) / RT_PANEL;
    const float *from = graph->values[weight].data;
    float *to = rt_floats(graph, (int64_t)(panels * RT_PANEL), (int64_t)k);
    double *shift = rt_calloc(panels * RT_PANEL, sizeof *shift);
    retort_status status = to != NULL && shift != NULL ? RETORT_OK : rt_fail_nomem(err, k * n * sizeof *to);
    for (size_t p = 0; status == RETORT_OK && p < panels; p++) {
        for (size_t i = 0; i < k; i++) {
            for (size_t c = 0; c < RT_PANEL; c++) {
                size_t at = (p * k + i) * RT_PANEL + c;
                to[at] = from[at] / scaling->factor[i];
                shift[p * RT_PANEL + c] -= (double)scaling->add[i] * (double)to[at];
            }
        }
    }
    if (status == RETORT_OK) graph->values[weight].data = to;
    if (status == RETORT_OK) status = rt_shift_bias(graph, weight, shift, err);
    free(shift);
    return status;
}

/* The index of the factor operand of a producer that also writes its value as int8; 0: it does not. */
static int twin_input(const rt_node *node) {
    if (node->attrs.out_dtype != RETORT_F32) return 0;
    return node->op == RT_OP_LAYER_NORM ? 3 : node->op == RT_OP_EMBED ? 10 : 0;
}

retort_status rt_channel_scale_x(rt_graph *graph, int node, const rt_channel_scale *scaling,
                                 retort_error *err) {
    int x = graph->nodes[node].inputs[LINEAR_X], producer = graph->values[x].producer;
    int64_t k = graph->values[graph->nodes[node].inputs[LINEAR_WEIGHT]].dims[0];
    int twin = producer >= 0 ? twin_input(&graph->nodes[producer]) : 0;
    const char *scope = graph->nodes[producer >= 0 ? producer : node].name;
    float *factor = rt_floats(graph, 1, k), *add = rt_floats(graph, 1, k);
    if (factor == NULL || add == NULL) return rt_fail_nomem(err, (size_t)k * sizeof *factor);
    memcpy(factor, scaling->factor, (size_t)k * sizeof *factor);
    memcpy(add, scaling->add, (size_t)k * sizeof *add);
    int values[] = {x, rt_add_constant(graph, scope, "factor", 1, &k, factor),
                    rt_add_constant(graph, scope, "add", 1, &k, add)};
    if (values[1] < 0 || values[2] < 0) return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
    if (twin == 0) {
        char name[RT_NAME_MAX + 16];
        rt_attrs attrs = {.out_dtype = RETORT_S8};
        snprintf(name, sizeof name, "%.*s.quantize", RT_NAME_MAX, scope);
        int q = rt_add_node(graph, name, RT_OP_CONVERT, 3, values, &attrs);
        if (q < 0) return rt_fail(err, graph->fault.status, "%s", graph->fault.text);
        rt_node_read(graph, node, LINEAR_X, q);
        return RETORT_OK;
    }
    rt_node_read(graph, producer, twin, values[1]);
    rt_node_read(graph, producer, twin + 1, values[2]);
    graph->nodes[producer].attrs.out_dtype = RETORT_S8;
    retort_status status = rt_node_update(graph, producer, err);
    if (status == RETORT_OK) rt_node_read(graph, node, LINEAR_X, graph->nodes[producer].outputs[1]);
    return status;
}
