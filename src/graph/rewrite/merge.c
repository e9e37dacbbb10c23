/* SPDX-License-Identifier: Apache-2.0
 * Level 1: merges nodes that compute the same. One walk in the order of the nodes, each looked up in a hash
 * table after its inputs have been merged: linear in the size of the graph. */
#include "base/hash.h"
#include "graph/ops.h"
#include "graph/rewrite.h"

#include <stdlib.h>
#include <string.h>

typedef struct merge {
    rt_graph *graph;
    int *into;       /* [values] the value that stands for each */
    int *slots;      /* [capacity] the first of equal nodes, plus 1; 0: free */
    size_t capacity; /* a power of two, at least twice the nodes */
    rt_hash_key key;
} merge;

/* The node's only output, if its content is known from shapes alone: then operator and inputs do not matter, as
 * with the Shape of any two values [batch, seq, …]. Else NULL. */
static const rt_value *known_from_shapes(const rt_graph *graph, const rt_node *node) {
    const rt_value *value = &graph->values[node->outputs[0]];
    return node->output_count == 1 && value->content.known ? value : NULL;
}

static bool same_content(const rt_value *a, const rt_value *b) {
    const rt_content *x = &a->content, *y = &b->content;
    return a->dtype == b->dtype && a->rank == b->rank && x->count == y->count && x->symbols == y->symbols &&
           memcmp(x->at, y->at, (size_t)x->count * sizeof *x->at) == 0;
}

static bool same_node(const rt_graph *graph, const rt_node *a, const rt_node *b) {
    const rt_value *x = known_from_shapes(graph, a), *y = known_from_shapes(graph, b);
    if (x != NULL && y != NULL) return same_content(x, y);
    return a->op == b->op && a->input_count == b->input_count && a->output_count == b->output_count &&
           memcmp(a->inputs, b->inputs, (size_t)a->input_count * sizeof *a->inputs) == 0 &&
           rt_attrs_equal(&a->attrs, &b->attrs);
}

/* Mixes data into the key. */
static void mix(rt_hash_key *key, const void *data, size_t size) {
    key->words[0] ^= rt_hash(*key, data, size);
}

static size_t hash_node(const rt_graph *graph, const rt_node *node, rt_hash_key key) {
    const rt_value *known = known_from_shapes(graph, node);
    if (known != NULL) {
        mix(&key, known->content.at, (size_t)known->content.count * sizeof *known->content.at);
    } else {
        size_t count;
        const rt_attr_row *rows = rt_attr_rows(&count);
        mix(&key, &node->op, sizeof node->op);
        mix(&key, node->inputs, (size_t)node->input_count * sizeof *node->inputs);
        for (size_t i = 0; i < count; i++) {
            mix(&key, (const char *)&node->attrs + rows[i].offset, rt_attr_size(rows[i].kind));
        }
    }
    return (size_t)key.words[0];
}

/* The first node that is equal to this one, or itself. */
static int first_of(merge *m, int index) {
    const rt_graph *graph = m->graph;
    size_t at = hash_node(graph, &graph->nodes[index], m->key) & (m->capacity - 1);
    while (m->slots[at] != 0 && !same_node(graph, &graph->nodes[m->slots[at] - 1], &graph->nodes[index]))
        at = (at + 1) & (m->capacity - 1);
    if (m->slots[at] == 0) m->slots[at] = index + 1;
    return m->slots[at] - 1;
}

static void exchange_names(const char **a, const char **b) {
    const char *name = *a;
    *a = *b;
    *b = name;
}

/* Redirects readers of node `from` to node `to`, which takes over the name of the graph's output. */
static void merge_into(merge *m, int from, int to) {
    rt_graph *graph = m->graph;
    rt_node *a = &graph->nodes[from], *b = &graph->nodes[to];
    bool output = false;
    for (int k = 0; k < a->output_count; k++) {
        m->into[a->outputs[k]] = b->outputs[k];
        output = output || graph->output == a->outputs[k];
    }
    if (!output) return;
    exchange_names(&a->name, &b->name);
    for (int k = 0; k < a->output_count; k++) {
        exchange_names(&graph->values[a->outputs[k]].name, &graph->values[b->outputs[k]].name);
    }
}

static size_t merge_all(merge *m) {
    rt_graph *graph = m->graph;
    size_t applied = 0;
    for (size_t i = 0; i < graph->value_count; i++) m->into[i] = (int)i;
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] >= 0) node->inputs[k] = m->into[node->inputs[k]];
        }
        int first = first_of(m, (int)i);
        if (first == (int)i) continue;
        merge_into(m, (int)i, first);
        applied++;
    }
    if (graph->output >= 0) graph->output = m->into[graph->output];
    return applied;
}

retort_status rt_rewrite_merge_nodes(rt_graph *graph, size_t *count, retort_error *err) {
    merge m = {.graph = graph, .capacity = 64, .key = rt_hash_key_new()};
    while (m.capacity < 2 * graph->node_count) m.capacity *= 2;
    m.into = rt_calloc(graph->value_count, sizeof *m.into);
    m.slots = rt_calloc(m.capacity, sizeof *m.slots);
    bool memory = m.into != NULL && m.slots != NULL;
    size_t applied = memory ? merge_all(&m) : 0;
    free(m.into);
    free(m.slots);
    *count += applied;
    if (!memory) return rt_fail_nomem(err, m.capacity * sizeof *m.slots);
    return applied > 0 ? rt_graph_sweep(graph, err) : RETORT_OK;
}
