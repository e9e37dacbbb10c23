/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/links.h"

#include <stdlib.h>
#include <string.h>

/* ---- Readers ---- */

static void unlink_reader(struct rt_links *l, int value, int reader) {
    int next = l->next[reader], last = l->last[reader];
    if (last >= 0) {
        l->next[last] = next;
    } else {
        l->first[value] = next;
    }
    if (next >= 0) l->last[next] = last;
    if (--l->uses[value] > 0) return;
    if (rt_grow((void **)&l->loose, &l->loose_capacity, l->loose_count + 1, sizeof *l->loose)) {
        l->loose[l->loose_count++] = value;
    } else {
        l->failed = true;
    }
}

static void link_reader(struct rt_links *l, int value, int reader) {
    int next = l->first[value];
    l->next[reader] = next;
    l->last[reader] = -1;
    if (next >= 0) l->last[next] = reader;
    l->first[value] = reader;
    l->uses[value]++;
}

void rt_node_read(rt_graph *graph, int node, int k, int value) {
    rt_node *n = &graph->nodes[node];
    int reader = node * RT_MAX_INPUTS + k;
    while (n->input_count <= k) n->inputs[n->input_count++] = -1;
    int before = n->inputs[k];
    n->inputs[k] = value;
    if (graph->links == NULL || before == value) return;
    if (before >= 0) unlink_reader(graph->links, before, reader);
    if (value >= 0) link_reader(graph->links, value, reader);
}

void rt_node_cut(rt_graph *graph, int node, int count) {
    rt_node *n = &graph->nodes[node];
    for (int k = count; k < n->input_count; k++) rt_node_read(graph, node, k, -1);
    n->input_count = count;
}

void rt_node_drop(rt_graph *graph, int node, int from, int to) {
    rt_node *n = &graph->nodes[node];
    for (int k = from; k < to && k < n->input_count; k++) rt_node_read(graph, node, k, -1);
    while (n->input_count > from && n->inputs[n->input_count - 1] < 0) n->input_count--;
}

/* ---- What is there ---- */

bool rt_links_add_value(rt_graph *graph) {
    struct rt_links *l = graph->links;
    size_t value = graph->value_count - 1;
    if (!rt_grow((void **)&l->first, &l->first_capacity, value + 1, sizeof *l->first) ||
        !rt_grow((void **)&l->uses, &l->uses_capacity, value + 1, sizeof *l->uses) ||
        !rt_grow((void **)&l->marks, &l->marks_capacity, value + 1, sizeof *l->marks))
        return false;
    l->first[value] = -1;
    l->uses[value] = 0;
    l->marks[value] = 0;
    return rt_names_put(&l->values, graph->values[value].name, (int)value);
}

bool rt_links_add_node(rt_graph *graph) {
    struct rt_links *l = graph->links;
    size_t index = graph->node_count - 1, readers = graph->node_count * RT_MAX_INPUTS;
    const rt_node *node = &graph->nodes[index];
    if (!rt_grow((void **)&l->dead, &l->dead_capacity, index + 1, sizeof *l->dead) ||
        !rt_grow((void **)&l->next, &l->next_capacity, readers, sizeof *l->next) ||
        !rt_grow((void **)&l->last, &l->last_capacity, readers, sizeof *l->last) ||
        !rt_names_put(&l->nodes, node->name, (int)index))
        return false;
    l->dead[index] = false;
    for (int k = 0; k < node->input_count; k++) {
        if (node->inputs[k] >= 0) link_reader(l, node->inputs[k], (int)index * RT_MAX_INPUTS + k);
    }
    return true;
}

bool rt_links_open(rt_graph *graph) {
    size_t values = graph->value_count, nodes = graph->node_count;
    bool fine = true;
    graph->links = graph->idle_links != NULL ? graph->idle_links : rt_calloc(1, sizeof *graph->links);
    graph->idle_links = NULL;
    if (graph->links == NULL) return false;
    for (graph->value_count = 0; fine && graph->value_count < values;) {
        graph->value_count++;
        fine = rt_links_add_value(graph);
    }
    for (graph->node_count = 0; fine && graph->node_count < nodes;) {
        graph->node_count++;
        fine = rt_links_add_node(graph);
    }
    graph->value_count = values;
    graph->node_count = nodes;
    if (!fine) rt_links_close(graph);
    return fine;
}

void rt_links_close(rt_graph *graph) {
    struct rt_links *l = graph->links;
    if (l == NULL) return;
    l->loose_count = l->fresh = 0;
    l->failed = false;
    rt_names_clear(&l->nodes);
    rt_names_clear(&l->values);
    rt_names_clear(&l->numbers);
    graph->links = NULL;
    graph->idle_links = l;
}

void rt_links_free(rt_graph *graph) {
    rt_links_close(graph);
    struct rt_links *l = graph->idle_links;
    if (l == NULL) return;
    free(l->first);
    free(l->uses);
    free(l->marks);
    free(l->next);
    free(l->last);
    free(l->dead);
    free(l->loose);
    rt_names_free(&l->nodes);
    rt_names_free(&l->values);
    rt_names_free(&l->numbers);
    free(l);
    graph->idle_links = NULL;
}

/* ---- What is needed ---- */

static bool is_needed(const rt_graph *graph, const rt_node *node) {
    bool needed = false;
    for (int k = 0; k < node->output_count; k++) {
        needed |= graph->links->uses[node->outputs[k]] > 0 || graph->output == node->outputs[k];
    }
    return needed;
}

bool rt_links_settle(rt_graph *graph) {
    struct rt_links *l = graph->links;
    while (l->loose_count > 0) {
        int producer = graph->values[l->loose[--l->loose_count]].producer;
        if (producer < 0 || l->dead[producer] || is_needed(graph, &graph->nodes[producer])) continue;
        l->dead[producer] = true;
        for (int k = 0; k < graph->nodes[producer].input_count; k++) rt_node_read(graph, producer, k, -1);
    }
    return !l->failed;
}

int rt_links_value(const rt_graph *graph, const char *name) {
    const struct rt_links *l = graph->links;
    int index = rt_names_find(&l->values, name, strlen(name));
    if (index < 0 || index >= (int)graph->value_count) return -1;
    int producer = graph->values[index].producer;
    bool live = (size_t)index >= l->fresh || (producer >= 0 ? !l->dead[producer] : l->uses[index] > 0);
    return live ? index : -1;
}

bool rt_links_has_node(const rt_graph *graph, const char *name) {
    int index = rt_names_find(&graph->links->nodes, name, strlen(name));
    return index >= 0 && index < (int)graph->node_count && !graph->links->dead[index];
}

int rt_links_number(const rt_graph *graph, const char *name) {
    enum { FIRST = 2 };
    int number = graph->links != NULL ? rt_names_find(&graph->links->numbers, name, strlen(name)) : -1;
    return number >= 0 ? number : FIRST;
}

void rt_links_put_number(rt_graph *graph, const char *name, int number) {
    struct rt_links *l = graph->links;
    if (l != NULL && !rt_names_put(&l->numbers, name, number)) l->failed = true;
}
