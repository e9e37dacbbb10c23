/* SPDX-License-Identifier: Apache-2.0
 * Level 2: identities of real arithmetic around an Attention. They also read Q, K and V that are fused, and packed weights:
 * training leaves them out, and the trained model gets them at last.
 *   softmax(scale (x W_Q + b_Q) (x W_K + b_K)ᵀ) (x W_V + b_V) W_O + b_O
 * is the same with
 *   W_Q, b_Q times scale,
 *   no b_K, unless K is turned by its position: it adds the same number to all scores of a query (not with position queries, whose product with it differs),
 *   b_V W_O added to b_O: each row of the softmax sums to 1. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>
#include <string.h>

/* Columns from…to-1 of a Linear whose output only the Attention reads. */
typedef struct part {
    rt_linear_match linear;
    int64_t from, to;
} part;

/* What makes part `which` (Q, K, V) of an Attention: a Linear alone, or columns of one for several parts. */
static bool part_of(const rt_graph *graph, int index, int which, part *out) {
    const rt_node *node = &graph->nodes[index];
    if (node->op != RT_OP_ATTENTION || node->attrs.shared) return false;
    int last = node->attrs.parts - 1, input = which < last ? which : last;
    if (!rt_match_plain_linear(graph, node->inputs[input], &out->linear)) return false;
    int64_t heads = node->attrs.heads, keys = rt_key_heads(&node->attrs), before = 0;
    int64_t all = last == 0 ? heads + 2 * keys : input == 0 ? heads : last == 1 ? 2 * keys : keys;
    for (int i = input; i < which; i++) before += i == 0 ? heads : keys;
    out->from = out->linear.n / all * before;
    out->to = out->from + out->linear.n / all * (which == 0 ? heads : keys);
    return graph->values[out->linear.weight].data != NULL &&
           (out->linear.bias < 0 || graph->values[out->linear.bias].data != NULL);
}

static bool is_alone(const part *p) {
    return p->to - p->from == p->linear.n;
}

/* Q, also behind an Attention whose keys are shared: W_K was multiplied to it. */
static bool query_of(const rt_graph *graph, int index, part *out) {
    const rt_node *node = &graph->nodes[index];
    rt_linear_match keys;
    if (node->op != RT_OP_ATTENTION || !node->attrs.shared) return part_of(graph, index, 0, out);
    if (!rt_match_plain_linear(graph, node->inputs[ATTENTION_Q], &keys) ||
        !rt_match_plain_linear(graph, keys.x, &out->linear))
        return false;
    out->from = 0;
    out->to = out->linear.n;
    return graph->values[out->linear.weight].data != NULL &&
           (out->linear.bias < 0 || graph->values[out->linear.bias].data != NULL);
}

/* A copy of a constant in its layout, its columns from…to-1 times a number, in its place. */
static int scaled_constant(rt_graph *graph, int value, const part *p, float scale) {
    const rt_value v = graph->values[value];
    size_t bytes = 0;
    float *scaled = rt_value_bytes(&v, &bytes) ? rt_graph_alloc(graph, bytes) : NULL;
    if (scaled == NULL) return -1;
    memcpy(scaled, v.data, bytes);
    for (int64_t i = 0; v.rank == 2 && i < v.dims[0]; i++) {
        for (int64_t j = p->from; j < p->to; j++) scaled[rt_weight_at(&v, i, j)] *= scale;
    }
    for (int64_t j = p->from; v.rank == 1 && j < p->to; j++) scaled[j] *= scale;
    return rt_change_constant(graph, value, v.rank, v.dims, scaled);
}

static int position_queries(const rt_graph *graph, int index) {
    return rt_operand(&graph->nodes[index], ATTENTION_POS_QUERY);
}

/* Position queries times a number: they meet keys, not queries. */
static bool scale_positions(rt_graph *graph, int index, float scale) {
    int value = position_queries(graph, index);
    if (value < 0) return true;
    const part all = {.to = graph->values[value].dims[1]};
    int scaled = scaled_constant(graph, value, &all, scale);
    if (scaled >= 0) rt_node_read(graph, index, ATTENTION_POS_QUERY, scaled);
    return scaled >= 0;
}

static bool scale_query(rt_graph *graph, int index) {
    part q;
    float scale = graph->nodes[index].attrs.scale;
    if (!query_of(graph, index, &q) || scale == 1) return false;
    if (position_queries(graph, index) >= 0 && graph->values[position_queries(graph, index)].data == NULL)
        return false;
    int weight = scaled_constant(graph, q.linear.weight, &q, scale);
    int bias = q.linear.bias >= 0 ? scaled_constant(graph, q.linear.bias, &q, scale) : -1;
    if (weight < 0 || (q.linear.bias >= 0 && bias < 0)) return false;
    if (!scale_positions(graph, index, scale)) return false;
    rt_node_read(graph, q.linear.node, LINEAR_WEIGHT, weight);
    if (q.linear.bias >= 0) rt_node_read(graph, q.linear.node, LINEAR_BIAS, bias);
    graph->nodes[index].attrs.scale = 1;
    return true;
}

retort_status rt_rewrite_scale_into_query(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, scale_query, count, err);
}

static bool is_zero(const float *data, int64_t from, int64_t to) {
    while (from < to && data[from] == 0) from++;
    return from == to;
}

/* Whether the part has a bias, which for columns of a Linear means that some of theirs is not 0. */
static bool has_bias(const rt_graph *graph, const part *p) {
    return p->linear.bias >= 0 &&
           (is_alone(p) || !is_zero(graph->values[p->linear.bias].data, p->from, p->to));
}

/* Removes the bias of the part; columns get zeros, unless K and V stand alone and neither has one then. */
static bool cut_bias(rt_graph *graph, int index, const part *p) {
    const rt_value v = graph->values[p->linear.bias];
    const float *data = v.data;
    bool others = !is_zero(data, 0, p->from) || !is_zero(data, p->to, p->linear.n);
    if (!others && graph->nodes[index].attrs.parts > 1) {
        rt_node_drop(graph, p->linear.node, LINEAR_BIAS, LINEAR_BIAS + 1);
        return true;
    }
    float *kept = rt_floats(graph, p->linear.n, 1);
    for (int64_t j = 0; kept != NULL && j < p->linear.n; j++)
        kept[j] = j < p->from || j >= p->to ? data[j] : 0;
    int bias = rt_change_constant(graph, p->linear.bias, 1, v.dims, kept);
    if (bias < 0) return false;
    rt_node_read(graph, p->linear.node, LINEAR_BIAS, bias);
    return true;
}

static bool drop_bias(rt_graph *graph, int index) {
    part k;
    return part_of(graph, index, 1, &k) && k.linear.rotary < 0 && position_queries(graph, index) < 0 &&
           has_bias(graph, &k) && cut_bias(graph, index, &k);
}

retort_status rt_rewrite_drop_key_bias(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, drop_bias, count, err);
}

/* bias[j] + sum over i of value[i] weight[i, j], summed in double; bias may be absent. `copies` heads of the output have each
 * head of values, of `dim` columns. */
static int moved_bias(rt_graph *graph, const part *v, const rt_linear_match *out, int64_t copies,
                      int64_t dim) {
    const rt_value matrix = graph->values[out->weight];
    const float *value = (const float *)graph->values[v->linear.bias].data + v->from, *weight = matrix.data;
    const float *bias = out->bias >= 0 ? graph->values[out->bias].data : NULL;
    float *data = rt_floats(graph, out->n, 1);
    double *sum = rt_graph_alloc(graph, (size_t)out->n * sizeof *sum);
    if (data == NULL || sum == NULL) return -1;
    for (int64_t j = 0; j < out->n && bias != NULL; j++) sum[j] = (double)bias[j];
    for (int64_t i = 0; i < out->k; i++) {
        for (int64_t j = 0; j < out->n; j++)
            sum[j] +=
                (double)value[i / dim / copies * dim + i % dim] * (double)weight[rt_weight_at(&matrix, i, j)];
    }
    for (int64_t j = 0; j < out->n; j++) data[j] = (float)sum[j];
    if (out->bias >= 0) return rt_change_constant(graph, out->bias, 1, &out->n, data);
    return rt_add_constant(graph, graph->nodes[out->node].name, "bias", 1, &out->n, data);
}

static bool move_bias(rt_graph *graph, int index) {
    part v;
    rt_linear_match out;
    if (!part_of(graph, index, 2, &v) || !has_bias(graph, &v)) return false;
    int context = graph->nodes[index].outputs[0], reader = rt_only_reader(graph, context);
    if (reader < 0 || graph->nodes[reader].op != RT_OP_LINEAR ||
        !rt_match_linear(graph, graph->nodes[reader].outputs[0], &out) || out.x != context ||
        graph->values[out.weight].data == NULL)
        return false;
    const rt_attrs *attrs = &graph->nodes[index].attrs;
    int bias = moved_bias(graph, &v, &out, attrs->heads / rt_key_heads(attrs), out.k / attrs->heads);
    if (bias < 0) return false;
    rt_node_read(graph, out.node, LINEAR_BIAS, bias);
    return cut_bias(graph, index, &v);
}

retort_status rt_rewrite_fold_value_bias(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, move_bias, count, err);
}

/* [W_Q | W_K | W_V], [k, n] */
static float *joined_weights(rt_graph *graph, const part parts[3], int64_t n) {
    int64_t k = parts[0].linear.k, at = 0;
    float *joined = rt_floats(graph, k, n);
    if (joined == NULL) return NULL;
    for (int p = 0; p < 3; at += parts[p++].linear.n) {
        const rt_value weight = graph->values[parts[p].linear.weight];
        const float *data = weight.data;
        for (int64_t i = 0; i < k; i++) {
            for (int64_t j = 0; j < parts[p].linear.n; j++)
                joined[i * n + at + j] = data[rt_weight_at(&weight, i, j)];
        }
    }
    return joined;
}

/* [b_Q | b_K | b_V] with zeros for those that are absent */
static float *joined_biases(rt_graph *graph, const part parts[3], int64_t n) {
    int64_t at = 0;
    float *joined = rt_floats(graph, n, 1);
    for (int p = 0; joined != NULL && p < 3; at += parts[p++].linear.n) {
        if (parts[p].linear.bias < 0) continue;
        memcpy(joined + at, graph->values[parts[p].linear.bias].data,
               (size_t)parts[p].linear.n * sizeof *joined);
    }
    return joined;
}

static bool join_parts(rt_graph *graph, int index) {
    part parts[3];
    char name[RT_NAME_MAX + 8];
    if (graph->nodes[index].attrs.parts != 3) return false;
    for (int p = 0; p < 3; p++) {
        if (!part_of(graph, index, p, &parts[p]) || parts[p].linear.x != parts[0].linear.x ||
            !is_alone(&parts[p]) || parts[p].linear.rotary != (p < 2 ? parts[0].linear.rotary : -1))
            return false;
    }
    int64_t k = parts[0].linear.k, n = 0;
    for (int p = 0; p < 3; p++) n += parts[p].linear.n;
    snprintf(name, sizeof name, "%s.qkv", graph->nodes[index].name);
    bool biased = parts[0].linear.bias >= 0 || parts[1].linear.bias >= 0 || parts[2].linear.bias >= 0;
    int weight =
        rt_add_constant(graph, name, "weight", 2, (int64_t[]){k, n}, joined_weights(graph, parts, n));
    int bias = biased ? rt_add_constant(graph, name, "bias", 1, &n, joined_biases(graph, parts, n)) : -1;
    int joined = rt_add_node(graph, name, RT_OP_LINEAR, biased ? 3 : 2,
                             (int[]){parts[0].linear.x, weight, bias}, NULL);
    if (joined < 0) return false;
    if (parts[0].linear.rotary >= 0) {
        int node = graph->values[joined].producer;
        rt_node_read(graph, node, LINEAR_ROTARY, parts[0].linear.rotary);
        graph->nodes[node].attrs.rotate = n - parts[2].linear.n;
    }
    rt_node_read(graph, index, ATTENTION_QKV, joined);
    rt_node_read(graph, index, 1,
                 graph->nodes[index].inputs[3]); /* the mask, behind one part, was behind three */
    rt_node_drop(graph, index, 2, ATTENTION_CONSTANTS);
    graph->nodes[index].attrs.parts = 1;
    return true;
}

retort_status rt_rewrite_fuse_qkv(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, join_parts, count, err);
}
