/* SPDX-License-Identifier: Apache-2.0
 * Removes whole layers. */
#include "graph/infer.h"
#include "graph/match.h"
#include "graph/ops.h"
#include "prune/module.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t rt_prune_layer_count(const rt_graph *graph) {
    size_t count = 0;
    for (size_t i = 0; i < graph->node_count; i++) count += graph->nodes[i].op == RT_OP_ATTENTION;
    return count;
}

/* The residual stream before a layer: what its attention is added to, of all rows. -1: it has none. */
static int stream_before(const rt_graph *graph, size_t layer) {
    size_t seen = 0, at = 0;
    for (; at < graph->node_count; at++) {
        if (graph->nodes[at].op == RT_OP_ATTENTION && seen++ == layer) break;
    }
    if (at == graph->node_count) return -1;
    /* W_O follows, or a Linear of each head and then W_O. */
    for (int value = graph->nodes[at].outputs[0], i = 0; i < 2; i++) {
        int reader = rt_only_reader(graph, value);
        const rt_node *node = reader >= 0 ? &graph->nodes[reader] : NULL;
        if (node == NULL || node->op != RT_OP_LINEAR || node->inputs[LINEAR_X] != value) return -1;
        int residual = node->input_count > LINEAR_RESIDUAL ? node->inputs[LINEAR_RESIDUAL] : -1;
        const rt_node *select = residual >= 0 ? rt_made_by(graph, residual, RT_OP_SELECT) : NULL;
        if (residual >= 0) return select != NULL ? select->inputs[SELECT_X] : residual;
        value = node->outputs[0];
    }
    return -1;
}

bool rt_prune_layer_fits(const rt_graph *graph, size_t layer) {
    int before = stream_before(graph, layer), after = stream_before(graph, layer + 1);
    return before >= 0 && after >= 0 && rt_same_dims(&graph->values[before], &graph->values[after]);
}

retort_status rt_prune_layer(rt_graph *graph, size_t layer, retort_error *err) {
    rt_value_replace(graph, stream_before(graph, layer + 1), stream_before(graph, layer));
    retort_status status = rt_graph_sweep(graph, err);
    return status == RETORT_OK ? rt_graph_infer(graph, err) : status;
}

/* ---- Names ---- */

/* The number in "layer.3.ffn.lin1"; -1: none. *rest: what follows it. */
static int64_t number_in(const char *name, const char **rest) {
    static const char prefix[] = "layer.";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return -1;
    const char *first = name + sizeof prefix - 1, *at = first;
    int64_t number = 0;
    for (; *at >= '0' && *at <= '9' && number < RT_GRAPH_MAX; at++) number = 10 * number + (*at - '0');
    *rest = at;
    return at > first && number < RT_GRAPH_MAX ? number : -1;
}

/* The new number of each old one, [*count]; -1: no Attention has it. A selection of rows may have the name of a layer that is
 * gone, and keeps it. NULL: out of memory. */
static int64_t *new_numbers(const rt_graph *graph, int64_t *count) {
    const char *rest;
    *count = 0;
    for (size_t i = 0; i < graph->node_count; i++) {
        int64_t number = number_in(graph->nodes[i].name, &rest);
        if (number >= *count) *count = number + 1;
    }
    int64_t *to = rt_calloc((size_t)*count, sizeof *to), next = 0;
    if (to == NULL) return NULL;
    for (size_t i = 0; i < graph->node_count; i++) {
        int64_t number = graph->nodes[i].op == RT_OP_ATTENTION ? number_in(graph->nodes[i].name, &rest) : -1;
        if (number >= 0) to[number] = 1;
    }
    for (int64_t i = 0; i < *count; i++) to[i] = to[i] != 0 ? next++ : -1;
    return to;
}

/* False: out of memory. */
static bool rename_one(rt_graph *graph, const char **name, const int64_t *to, int64_t count) {
    char text[RT_NAME_MAX + 32];
    const char *rest;
    int64_t number = number_in(*name, &rest);
    if (number < 0 || number >= count || to[number] < 0 || to[number] == number) return true;
    int length = snprintf(text, sizeof text, "layer.%" PRId64 "%s", to[number], rest);
    *name = rt_arena_text(&graph->arena, text, (size_t)length);
    return *name != NULL;
}

retort_status rt_prune_number_layers(rt_graph *graph, retort_error *err) {
    int64_t count;
    int64_t *to = new_numbers(graph, &count);
    bool named = to != NULL;
    for (size_t i = 0; named && i < graph->node_count; i++)
        named = rename_one(graph, &graph->nodes[i].name, to, count);
    for (size_t i = 0; named && i < graph->value_count; i++)
        named = rename_one(graph, &graph->values[i].name, to, count);
    free(to);
    return named ? rt_graph_verify(graph, err) : rt_fail_nomem(err, graph->value_count);
}
