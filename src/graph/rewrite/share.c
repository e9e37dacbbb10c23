/* SPDX-License-Identifier: Apache-2.0
 * Level 3: Linears whose weights hold the same numbers read one constant, and so do their biases and scales. Layers that
 * share weights, as ALBERT's, have one of each at level 0; rewrites have made copies. */
#include "graph/match.h"

#include <stdlib.h>
#include <string.h>

typedef struct entry {
    const rt_value *weight;
    int node;
} entry;

static int compare_numbers(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

/* By type, shape and numbers. Different ones differ early. */
static int compare(const rt_value *a, const rt_value *b) {
    size_t bytes = 0;
    int order = compare_numbers(a->dtype, b->dtype);
    if (order == 0) order = compare_numbers(a->layout, b->layout);
    if (order == 0) order = compare_numbers(a->rank, b->rank);
    for (int i = 0; order == 0 && i < a->rank; i++) order = compare_numbers(a->dims[i], b->dims[i]);
    if (order != 0 || a->data == b->data || !rt_value_bytes(a, &bytes)) return order;
    return memcmp(a->data, b->data, bytes);
}

static int compare_entries(const void *left, const void *right) {
    const entry *a = left, *b = right;
    int order = compare(a->weight, b->weight);
    return order != 0 ? order : compare_numbers(a->node, b->node);
}

/* Lets a node read the constants of another one where they are equal. */
static size_t share(rt_graph *graph, int from, int node) {
    size_t applied = 0;
    const rt_node *first = &graph->nodes[from];
    for (int k = LINEAR_WEIGHT; k < first->input_count && k < graph->nodes[node].input_count; k++) {
        int value = first->inputs[k], other = graph->nodes[node].inputs[k];
        if (k == LINEAR_RESIDUAL || value < 0 || other < 0 || value == other) continue;
        const rt_value *a = &graph->values[value], *b = &graph->values[other];
        if (a->data == NULL || b->data == NULL || compare(a, b) != 0) continue;
        rt_node_read(graph, node, k, value);
        applied++;
    }
    return applied;
}

retort_status rt_rewrite_share_weights(rt_graph *graph, size_t *count, retort_error *err) {
    entry *entries = rt_calloc(graph->node_count, sizeof *entries);
    size_t found = 0, applied = 0;
    if (entries == NULL) return rt_fail_nomem(err, graph->node_count * sizeof *entries);
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_LINEAR) continue;
        const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
        if (weight->data != NULL) entries[found++] = (entry){weight, (int)i};
    }
    qsort(entries, found, sizeof *entries, compare_entries);
    for (size_t lead = 0, i = 1; i < found; i++) {
        if (compare(entries[lead].weight, entries[i].weight) == 0) {
            applied += share(graph, entries[lead].node, entries[i].node);
        } else {
            lead = i;
        }
    }
    free(entries);
    *count += applied;
    return applied > 0 ? rt_graph_sweep(graph, err) : RETORT_OK;
}
