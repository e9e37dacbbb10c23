/* SPDX-License-Identifier: Apache-2.0 */
#include "prune/module.h"
#include "graph/match.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DIM = 1024 /* columns of a head: its corner of H is inverted as one */ };

void rt_prune_modules_free(rt_prune_modules *modules) {
    free(modules->items);
    *modules = (rt_prune_modules){0};
}

static bool is_packed_float(const rt_graph *graph, const rt_node *linear) {
    const rt_value *weight = &graph->values[linear->inputs[LINEAR_WEIGHT]];
    return weight->data != NULL && weight->dtype == RETORT_F32 && weight->layout == RT_LAYOUT_P16;
}

/* The Linear of packed floats that makes a value which nobody else reads; -1: there is none. */
static int source_of(const rt_graph *graph, int value) {
    const rt_node *node = rt_made_by(graph, value, RT_OP_LINEAR);
    if (node == NULL || !is_packed_float(graph, node) || rt_only_reader(graph, value) < 0) return -1;
    return (int)(node - graph->nodes);
}

/* The Linear that alone reads a node's output as its x; -1: there is none. */
static int reader_of(const rt_graph *graph, const rt_node *node) {
    int reader = rt_only_reader(graph, node->outputs[0]);
    const rt_node *linear = reader >= 0 ? &graph->nodes[reader] : NULL;
    bool fits = linear != NULL && linear->op == RT_OP_LINEAR && is_packed_float(graph, linear) &&
                linear->inputs[LINEAR_X] == node->outputs[0];
    return fits ? reader : -1;
}

static bool is_residual(const rt_node *linear) {
    return linear->attrs.heads == 0 && linear->input_count > LINEAR_RESIDUAL &&
           linear->inputs[LINEAR_RESIDUAL] >= 0 && linear->attrs.act == RT_FN_NONE && !linear->attrs.gate;
}

static int64_t weight_rows(const rt_graph *graph, int node) {
    return graph->values[graph->nodes[node].inputs[LINEAR_WEIGHT]].dims[0];
}

/* Whether turned columns are those of all heads, of queries or of queries and keys. */
static bool turns_whole_parts(const rt_graph *graph, const rt_prune_module *m) {
    int64_t part = (int64_t)(m->units * m->unit);
    for (int i = 0; i < m->source_count; i++) {
        if (graph->nodes[m->sources[i]].attrs.rotate % part != 0) return false;
    }
    return true;
}

/* The keys of every head are x itself: q comes from a Linear per head, which reads the queries. */
static bool match_shared(const rt_graph *graph, const rt_node *attention, rt_prune_module *m) {
    int keys = source_of(graph, attention->inputs[ATTENTION_Q]);
    if (keys < 0 || graph->nodes[keys].attrs.heads != attention->attrs.heads) return false;
    int queries = source_of(graph, graph->nodes[keys].inputs[LINEAR_X]);
    if (queries < 0 || m->values < 0) return false;
    m->sources[0] = queries;
    m->sources[1] = keys;
    m->source_count = 2;
    return true;
}

static bool match_heads(const rt_graph *graph, const rt_node *attention, rt_prune_module *m) {
    const rt_attrs *attrs = &attention->attrs;
    *m =
        (rt_prune_module){.kind = RT_PRUNE_HEADS, .attention = (int)(attention - graph->nodes), .values = -1};
    m->out = reader_of(graph, attention);
    if (m->out >= 0 && graph->nodes[m->out].attrs.heads == attrs->heads) {
        m->values = m->out;
        m->out = reader_of(graph, &graph->nodes[m->values]);
    }
    if (m->out < 0 || !is_residual(&graph->nodes[m->out]) || attrs->key_heads > 0) return false;
    m->units = (size_t)attrs->heads;
    m->unit = (size_t)weight_rows(graph, m->out) / m->units;
    if (m->unit > MOST_DIM) return false;
    if (attrs->shared) return match_shared(graph, attention, m);
    for (int i = 0; i < attrs->parts; i++) {
        m->sources[i] = source_of(graph, attention->inputs[i]);
        if (m->sources[i] < 0) return false;
    }
    m->source_count = attrs->parts;
    return m->values < 0 && turns_whole_parts(graph, m);
}

/* A Linear with an activation, or a gate, before the Linear into the residual stream. */
static bool match_ffn(const rt_graph *graph, const rt_node *first, rt_prune_module *m) {
    *m = (rt_prune_module){.kind = RT_PRUNE_FFN, .attention = -1, .values = -1, .source_count = 1, .unit = 1};
    m->out = reader_of(graph, first);
    m->sources[0] = (int)(first - graph->nodes);
    if (m->out < 0 || !is_residual(&graph->nodes[m->out]) || !is_packed_float(graph, first) ||
        first->attrs.heads > 0 || (first->attrs.act == RT_FN_NONE && !first->attrs.gate))
        return false;
    m->units = (size_t)weight_rows(graph, m->out);
    return true;
}

retort_status rt_prune_modules_find(rt_prune_modules *out, const rt_graph *graph, retort_error *err) {
    *out = (rt_prune_modules){.items = rt_calloc(graph->node_count + 1, sizeof *out->items)};
    if (out->items == NULL) return rt_fail_nomem(err, graph->node_count * sizeof *out->items);
    size_t layers = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        rt_prune_module m;
        layers += node->op == RT_OP_ATTENTION;
        bool fits = (node->op == RT_OP_ATTENTION && match_heads(graph, node, &m)) ||
                    (node->op == RT_OP_LINEAR && layers > 0 && match_ffn(graph, node, &m));
        if (!fits) continue;
        m.layer = layers - 1;
        out->items[out->count++] = m;
    }
    return RETORT_OK;
}

bool rt_layer_describe(const rt_graph *graph, size_t layer, int64_t *heads, int64_t *ffn) {
    size_t seen = 0;
    *heads = *ffn = 0;
    for (size_t i = 0; i < graph->node_count && seen <= layer + 1; i++) {
        const rt_node *node = &graph->nodes[i];
        bool wide = node->op == RT_OP_LINEAR && (node->attrs.act != RT_FN_NONE || node->attrs.gate);
        seen += node->op == RT_OP_ATTENTION;
        if (seen != layer + 1) continue;
        if (node->op == RT_OP_ATTENTION) *heads = node->attrs.heads;
        if (wide && *ffn == 0 && !rt_node_in_head(graph, node))
            *ffn = graph->values[node->inputs[LINEAR_WEIGHT]].dims[1] / (node->attrs.gate ? 2 : 1);
    }
    return *heads > 0;
}
