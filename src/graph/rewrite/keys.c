/* SPDX-License-Identifier: Apache-2.0
 * Level 3: removes K and V of the last layer, where each sequence has only one query. By associativity, the
 * scores of a head are (W_K q) x, and its output is W_V (p x): two products for one row instead of two for
 * every token. */
#include "graph/match.h"
#include "graph/ops.h"

#include <stdio.h>

typedef struct keys {
    rt_linear_match kv; /* x [tokens, n] -> [tokens, 2 hidden] */
    int64_t heads, hidden, dim;
} keys;

/* The Linear that makes keys and values for such an attention only, without biases, with which
 * associativity does not help. */
static bool match(const rt_graph *graph, const rt_node *node, keys *out) {
    if (node->op != RT_OP_ATTENTION || node->attrs.parts != 2 || node->attrs.shared ||
        node->input_count > ATTENTION_CONSTANTS || node->attrs.select != RT_SELECT_FIRST ||
        node->attrs.out_dtype != RETORT_F32)
        return false;
    if (!rt_match_plain_linear(graph, node->inputs[ATTENTION_KV], &out->kv) || out->kv.bias >= 0 ||
        out->kv.rotary >= 0 || node->attrs.window > 0 || node->attrs.key_heads > 0)
        return false;
    out->heads = node->attrs.heads;
    out->hidden = out->kv.n / 2;
    out->dim = out->hidden / out->heads;
    return graph->values[out->kv.weight].data != NULL && out->kv.k % RT_PANEL == 0 &&
           out->dim % RT_PANEL == 0;
}

/* W_K of each head, transposed: [dim, heads n] */
static float *turned_keys(rt_graph *graph, const keys *m) {
    const rt_value weight = graph->values[m->kv.weight];
    const float *from = weight.data;
    float *to = rt_floats(graph, m->dim, m->heads * m->kv.k);
    for (int64_t d = 0; to != NULL && d < m->dim; d++) {
        for (int64_t h = 0; h < m->heads; h++) {
            for (int64_t i = 0; i < m->kv.k; i++) {
                to[(d * m->heads + h) * m->kv.k + i] = from[rt_weight_at(&weight, i, h * m->dim + d)];
            }
        }
    }
    return to;
}

/* W_V: [n, hidden] */
static float *values_part(rt_graph *graph, const keys *m) {
    const rt_value weight = graph->values[m->kv.weight];
    const float *from = weight.data;
    float *to = rt_floats(graph, m->kv.k, m->hidden);
    for (int64_t i = 0; to != NULL && i < m->kv.k; i++) {
        for (int64_t j = 0; j < m->hidden; j++)
            to[i * m->hidden + j] = from[rt_weight_at(&weight, i, m->hidden + j)];
    }
    return to;
}

/* Appends the Linear "attention.part" with one block per head. */
static int block_linear(rt_graph *graph, const char *attention, const char *part, const keys *m, int x,
                        const int64_t dims[2], const float *data) {
    char name[RT_NAME_MAX + 8];
    rt_attrs attrs = {.heads = m->heads};
    if (data == NULL) return -1;
    snprintf(name, sizeof name, "%s.%s", attention, part);
    int weight = rt_add_constant(graph, name, "weight", 2, dims, data);
    return rt_add_node(graph, name, RT_OP_LINEAR, 2, (int[]){x, weight}, &attrs);
}

static bool skip(rt_graph *graph, int index) {
    keys m;
    const rt_node node = graph->nodes[index];
    if (!match(graph, &node, &m)) return false;
    char name[RT_NAME_MAX + 8];
    snprintf(name, sizeof name, "%s.tokens", node.name);
    rt_attrs attrs = {
        .heads = m.heads, .scale = node.attrs.scale, .parts = 2, .select = RT_SELECT_FIRST, .shared = true};
    int q = block_linear(graph, node.name, "keys", &m, node.inputs[ATTENTION_Q],
                         (int64_t[]){m.dim, m.heads * m.kv.k}, turned_keys(graph, &m));
    int z = rt_add_node(graph, name, RT_OP_ATTENTION, 2, (int[]){q, m.kv.x}, &attrs);
    int out = block_linear(graph, node.name, "values", &m, z, (int64_t[]){m.kv.k, m.hidden},
                           values_part(graph, &m));
    if (out < 0) return false;
    rt_value_replace(graph, node.outputs[0], out);
    return true;
}

retort_status rt_rewrite_skip_keys(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, skip, count, err);
}
