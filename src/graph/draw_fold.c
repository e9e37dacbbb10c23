/* SPDX-License-Identifier: Apache-2.0
 * Finds equal layers of an encoder, so that a picture shows only one. */
#include "graph/draw.h"
#include "graph/ops.h"

#include <stdlib.h>
#include <string.h>

typedef struct layers {
    const rt_graph *graph;
    int *layer; /* [nodes] -1: none */
    int *place; /* [nodes] among the nodes of its layer */
    int *items; /* [nodes] by layer */
    int *start; /* [count + 1] into items */
    int count;
} layers;

/* The number in "layer.N."; -1 without one, and for nodes between layers, which select rows for the next. */
static int layer_of(const rt_graph *graph, const rt_node *node) {
    const char *at = node->name + 6;
    int layer = 0;
    if (strncmp(node->name, "layer.", 6) != 0 || node->op == RT_OP_SELECT ||
        node->op == RT_OP_MASK_TOKEN_ROWS)
        return -1;
    if (*at < '0' || *at > '9') return -1;
    for (; *at >= '0' && *at <= '9' && layer < RT_GRAPH_MAX; at++) layer = 10 * layer + (*at - '0');
    return (size_t)layer < graph->node_count && (*at == '.' || *at == '\0') ? layer : -1;
}

static bool layers_open(layers *l, const rt_graph *graph) {
    size_t n = graph->node_count;
    *l = (layers){.graph = graph};
    l->layer = rt_calloc(n, sizeof *l->layer);
    l->place = rt_calloc(n, sizeof *l->place);
    l->items = rt_calloc(n, sizeof *l->items);
    l->start = rt_calloc(n + 2, sizeof *l->start);
    if (l->layer == NULL || l->place == NULL || l->items == NULL || l->start == NULL) return false;
    for (size_t i = 0; i < n; i++) {
        l->layer[i] = layer_of(graph, &graph->nodes[i]);
        if (l->layer[i] >= l->count) l->count = l->layer[i] + 1;
        if (l->layer[i] >= 0) l->place[i] = l->start[l->layer[i] + 1]++;
    }
    for (int k = 0; k < l->count; k++) l->start[k + 1] += l->start[k];
    for (size_t i = 0; i < n; i++) {
        if (l->layer[i] >= 0) l->items[l->start[l->layer[i]] + l->place[i]] = (int)i;
    }
    return true;
}

static void layers_close(layers *l) {
    free(l->layer);
    free(l->place);
    free(l->items);
    free(l->start);
}

static bool same_shape(const rt_value *a, const rt_value *b) {
    return a->dtype == b->dtype && a->layout == b->layout && a->rank == b->rank &&
           memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static bool same_constant(const rt_value *a, const rt_value *b) {
    size_t bytes;
    if (!same_shape(a, b) || !rt_value_is_inline(a) || a->data == NULL || b->data == NULL)
        return same_shape(a, b);
    return rt_value_bytes(a, &bytes) && memcmp(a->data, b->data, bytes) == 0;
}

static int output_index(const rt_graph *graph, int value) {
    const rt_node *node = &graph->nodes[graph->values[value].producer];
    int k = 0;
    while (node->outputs[k] != value) k++;
    return k;
}

/* Whether value y is for the layer after `layer` what x is for `layer`. If `layer` is the first of its
 * kind, values from before it may differ. */
static bool same_input(const layers *l, int layer, bool first, int x, int y) {
    const rt_graph *graph = l->graph;
    if (x == y) return true;
    if (x < 0 || y < 0) return false;
    const rt_value *a = &graph->values[x], *b = &graph->values[y];
    if (rt_value_is_constant(a) && rt_value_is_constant(b)) return same_constant(a, b);
    if (b->producer < 0 || !same_shape(a, b)) return false;
    int from = a->producer >= 0 ? l->layer[a->producer] : -1, to = l->layer[b->producer];
    bool alike = a->producer >= 0 && l->place[a->producer] == l->place[b->producer] &&
                 output_index(graph, x) == output_index(graph, y);
    if (from == layer) return to == layer + 1 && alike;
    return to == layer && (first || (from == layer - 1 && alike));
}

static bool same_node(const layers *l, int layer, bool first, const rt_node *a, const rt_node *b) {
    bool same = a->op == b->op && a->input_count == b->input_count && a->output_count == b->output_count &&
                rt_attrs_equal(&a->attrs, &b->attrs);
    for (int i = 0; same && i < a->input_count; i++) {
        same = same_input(l, layer, first, a->inputs[i], b->inputs[i]);
    }
    for (int k = 0; same && k < a->output_count; k++) {
        same = same_shape(&l->graph->values[a->outputs[k]], &l->graph->values[b->outputs[k]]);
    }
    return same;
}

/* Whether the layer after `layer` is equal to it. */
static bool same_layer(const layers *l, int layer, bool first) {
    const int *start = &l->start[layer];
    int n = start[1] - start[0];
    bool same = n > 0 && start[2] - start[1] == n;
    for (int i = 0; same && i < n; i++) {
        const rt_node *nodes = l->graph->nodes;
        same = same_node(l, layer, first, &nodes[l->items[start[0] + i]], &nodes[l->items[start[1] + i]]);
    }
    return same;
}

static void add_group(rt_draw_fold *out, const layers *l, int first, int times) {
    int n = l->start[first + 1] - l->start[first];
    if (n == 0) return;
    for (int i = 0; i < n * times; i++) {
        int node = l->items[l->start[first] + i];
        out->group[node] = (int)out->group_count;
        out->drawn[node] = l->items[l->start[first] + i % n];
    }
    out->groups[out->group_count++] = (rt_draw_group){.first = first, .times = times};
}

retort_status rt_draw_fold_layers(rt_draw_fold *out, const rt_graph *graph, bool whole, retort_error *err) {
    layers l;
    size_t n = graph->node_count;
    *out =
        (rt_draw_fold){.drawn = rt_calloc(n, sizeof *out->drawn), .group = rt_calloc(n, sizeof *out->group)};
    bool memory = layers_open(&l, graph) && out->drawn != NULL && out->group != NULL;
    if (memory) out->groups = rt_calloc((size_t)l.count, sizeof *out->groups);
    memory = memory && out->groups != NULL;
    for (size_t i = 0; memory && i < n; i++) {
        out->drawn[i] = (int)i;
        out->group[i] = -1;
    }
    for (int first = 0, times; memory && first < l.count; first += times) {
        times = 1;
        while (!whole && first + times < l.count && same_layer(&l, first + times - 1, times == 1)) times++;
        add_group(out, &l, first, times);
    }
    layers_close(&l);
    if (memory) return RETORT_OK;
    rt_draw_fold_free(out);
    return rt_fail_nomem(err, n * sizeof *out->drawn);
}

void rt_draw_fold_free(rt_draw_fold *fold) {
    free(fold->drawn);
    free(fold->group);
    free(fold->groups);
    *fold = (rt_draw_fold){0};
}
