/* SPDX-License-Identifier: Apache-2.0
 * Level 2: identities of real arithmetic around an Attention of three parts.
 *   softmax(scale (x W_Q + b_Q) (x W_K + b_K)ᵀ) (x W_V + b_V) W_O + b_O
 * is the same with
 *   W_Q, b_Q times scale,
 *   no b_K: it adds the same number to all scores of a query,
 *   b_V W_O added to b_O: each row of the softmax sums to 1. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <string.h>

/* The Linear that makes part `part` of the Attention, for it alone. */
static bool part_of(const rt_graph *graph, int index, int part, rt_linear_match *out) {
    const rt_node *node = &graph->nodes[index];
    return node->op == RT_OP_ATTENTION && node->attrs.parts == 3 &&
           rt_match_plain_linear(graph, node->inputs[part], out) && graph->values[out->weight].data != NULL &&
           (out->bias < 0 || graph->values[out->bias].data != NULL);
}

/* A copy of a constant, times a number, in its place. */
static int scaled_constant(rt_graph *graph, int value, float scale) {
    const rt_value v = graph->values[value];
    int64_t columns = v.rank == 2 ? v.dims[1] : 1;
    const float *data = v.data;
    float *scaled = rt_floats(graph, v.dims[0], columns);
    for (int64_t i = 0; scaled != NULL && i < v.dims[0] * columns; i++) scaled[i] = data[i] * scale;
    return rt_change_constant(graph, value, v.rank, v.dims, scaled);
}

static bool scale_query(rt_graph *graph, int index) {
    rt_linear_match q;
    float scale = graph->nodes[index].attrs.scale;
    if (!part_of(graph, index, 0, &q) || scale == 1) return false;
    int weight = scaled_constant(graph, q.weight, scale);
    int bias = q.bias >= 0 ? scaled_constant(graph, q.bias, scale) : -1;
    if (weight < 0 || (q.bias >= 0 && bias < 0)) return false;
    rt_node_read(graph, q.node, LINEAR_WEIGHT, weight);
    if (q.bias >= 0) rt_node_read(graph, q.node, LINEAR_BIAS, bias);
    graph->nodes[index].attrs.scale = 1;
    return true;
}

retort_status rt_rewrite_scale_into_query(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, scale_query, count, err);
}

static bool drop_bias(rt_graph *graph, int index) {
    rt_linear_match k;
    if (!part_of(graph, index, 1, &k) || k.bias < 0) return false;
    rt_node_cut(graph, k.node, 2);
    return true;
}

retort_status rt_rewrite_drop_key_bias(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, drop_bias, count, err);
}

/* bias[j] + sum over i of value[i] weight[i, j], summed in double; bias may be absent. */
static int moved_bias(rt_graph *graph, const rt_linear_match *v, const rt_linear_match *out) {
    const float *value = graph->values[v->bias].data, *weight = graph->values[out->weight].data;
    const float *bias = out->bias >= 0 ? graph->values[out->bias].data : NULL;
    float *data = rt_floats(graph, out->n, 1);
    double *sum = rt_graph_alloc(graph, (size_t)out->n * sizeof *sum);
    if (data == NULL || sum == NULL) return -1;
    for (int64_t j = 0; j < out->n && bias != NULL; j++) sum[j] = (double)bias[j];
    for (int64_t i = 0; i < out->k; i++) {
        for (int64_t j = 0; j < out->n; j++) sum[j] += (double)value[i] * (double)weight[i * out->n + j];
    }
    for (int64_t j = 0; j < out->n; j++) data[j] = (float)sum[j];
    if (out->bias >= 0) return rt_change_constant(graph, out->bias, 1, &out->n, data);
    return rt_add_constant(graph, graph->nodes[out->node].name, "bias", 1, &out->n, data);
}

static bool move_bias(rt_graph *graph, int index) {
    rt_linear_match v, out;
    if (!part_of(graph, index, 2, &v) || v.bias < 0) return false;
    int context = graph->nodes[index].outputs[0], reader = rt_only_reader(graph, context);
    if (reader < 0 || graph->nodes[reader].op != RT_OP_LINEAR ||
        !rt_match_linear(graph, graph->nodes[reader].outputs[0], &out) || out.x != context ||
        graph->values[out.weight].data == NULL)
        return false;
    int bias = moved_bias(graph, &v, &out);
    if (bias < 0) return false;
    rt_node_read(graph, out.node, LINEAR_BIAS, bias);
    rt_node_cut(graph, v.node, 2);
    return true;
}

retort_status rt_rewrite_fold_value_bias(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, move_bias, count, err);
}

/* [W_Q | W_K | W_V], [k, 3 n] */
static float *joined_weights(rt_graph *graph, const rt_linear_match part[3]) {
    int64_t k = part[0].k, n = part[0].n;
    float *joined = rt_floats(graph, k, 3 * n);
    if (joined == NULL) return NULL;
    for (int p = 0; p < 3; p++) {
        const float *data = graph->values[part[p].weight].data;
        for (int64_t i = 0; i < k; i++) {
            memcpy(joined + (3 * i + p) * n, data + i * n, (size_t)n * sizeof *data);
        }
    }
    return joined;
}

/* [b_Q | b_K | b_V] with zeros for those that are absent */
static float *joined_biases(rt_graph *graph, const rt_linear_match part[3]) {
    float *joined = rt_floats(graph, 3, part[0].n);
    for (int p = 0; joined != NULL && p < 3; p++) {
        if (part[p].bias < 0) continue;
        memcpy(joined + p * part[0].n, graph->values[part[p].bias].data, (size_t)part[0].n * sizeof *joined);
    }
    return joined;
}

static bool join_parts(rt_graph *graph, int index) {
    rt_linear_match part[3];
    char name[RT_NAME_MAX + 8];
    for (int p = 0; p < 3; p++) {
        if (!part_of(graph, index, p, &part[p]) || part[p].x != part[0].x || part[p].n != part[0].n)
            return false;
    }
    int64_t n = 3 * part[0].n;
    snprintf(name, sizeof name, "%s.qkv", graph->nodes[index].name);
    bool biased = part[0].bias >= 0 || part[1].bias >= 0 || part[2].bias >= 0;
    int weight =
        rt_add_constant(graph, name, "weight", 2, (int64_t[]){part[0].k, n}, joined_weights(graph, part));
    int bias = biased ? rt_add_constant(graph, name, "bias", 1, &n, joined_biases(graph, part)) : -1;
    int joined =
        rt_add_node(graph, name, RT_OP_LINEAR, biased ? 3 : 2, (int[]){part[0].x, weight, bias}, NULL);
    if (joined < 0) return false;
    rt_node_read(graph, index, ATTENTION_QKV, joined);
    rt_node_read(graph, index, 1,
                 graph->nodes[index].inputs[3]); /* the mask, behind one part, was behind three */
    rt_node_cut(graph, index, 2);
    graph->nodes[index].attrs.parts = 1;
    return true;
}

retort_status rt_rewrite_fuse_qkv(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, join_parts, count, err);
}
