/* SPDX-License-Identifier: Apache-2.0
 * Dead code removal, ordering and renumbering in one walk from the output. */
#include "graph/graph.h"

#include <stdlib.h>

enum { NEW, OPEN, DONE }; /* of a node in the walk */

typedef struct sweep {
    const rt_graph *graph;
    char *state; /* [nodes] */
    int *stack;  /* [nodes] the open nodes */
    int *next;   /* [nodes] the next input of an open node */
    int *order;  /* [nodes] done nodes */
    int *moved;  /* [values] new index, -1: dropped */
    size_t depth, done;
} sweep;

static bool sweep_begin(sweep *s, const rt_graph *graph) {
    *s = (sweep){.graph = graph};
    s->state = rt_calloc(graph->node_count, 1);
    s->stack = rt_calloc(graph->node_count, sizeof *s->stack);
    s->next = rt_calloc(graph->node_count, sizeof *s->next);
    s->order = rt_calloc(graph->node_count, sizeof *s->order);
    s->moved = rt_calloc(graph->value_count, sizeof *s->moved);
    return s->state != NULL && s->stack != NULL && s->next != NULL && s->order != NULL && s->moved != NULL;
}

static void sweep_end(sweep *s) {
    free(s->state);
    free(s->stack);
    free(s->next);
    free(s->order);
    free(s->moved);
}

/* Marks the value as needed and opens its producer. False: a node needs its own output. */
static bool need(sweep *s, int value) {
    int producer = s->graph->values[value].producer;
    s->moved[value] = 1;
    if (producer < 0 || s->state[producer] == DONE) return true;
    if (s->state[producer] == OPEN) return false;
    s->state[producer] = OPEN;
    s->stack[s->depth++] = producer;
    return true;
}

/* Depth first from the output: a node is done after all its inputs. */
static retort_status walk(sweep *s, retort_error *err) {
    bool acyclic = s->graph->output < 0 || need(s, s->graph->output);
    while (acyclic && s->depth > 0) {
        int index = s->stack[s->depth - 1];
        const rt_node *node = &s->graph->nodes[index];
        if (s->next[index] < node->input_count) {
            int input = node->inputs[s->next[index]++];
            acyclic = input < 0 || need(s, input);
            if (!acyclic) return rt_fail(err, RETORT_FORMAT, "%.200s: reads its own output", node->name);
            continue;
        }
        for (int k = 0; k < node->output_count; k++) s->moved[node->outputs[k]] = 1;
        s->state[index] = DONE;
        s->order[s->done++] = index;
        s->depth--;
    }
    return RETORT_OK;
}

/* Compacts the needed values; `moved` turns from a mark into the new index. */
static void renumber_values(sweep *s, rt_graph *graph) {
    size_t kept = 0;
    for (size_t i = 0; i < graph->value_count; i++) {
        bool needed = s->moved[i] != 0;
        s->moved[i] = needed ? (int)kept : -1;
        if (needed) graph->values[kept++] = graph->values[i];
    }
    graph->value_count = kept;
    if (graph->output >= 0) graph->output = s->moved[graph->output];
}

/* Puts the done nodes into `nodes` in their order, with new indices. */
static void renumber_nodes(sweep *s, rt_graph *graph, rt_node *nodes) {
    for (size_t i = 0; i < s->done; i++) {
        rt_node *node = &nodes[i];
        *node = graph->nodes[s->order[i]];
        for (int k = 0; k < node->input_count; k++) {
            if (node->inputs[k] >= 0) node->inputs[k] = s->moved[node->inputs[k]];
        }
        for (int k = 0; k < node->output_count; k++) {
            node->outputs[k] = s->moved[node->outputs[k]];
            graph->values[node->outputs[k]].producer = (int)i;
        }
    }
    free(graph->nodes);
    graph->nodes = nodes;
    graph->node_count = graph->node_capacity = s->done;
}

retort_status rt_graph_sweep(rt_graph *graph, retort_error *err) {
    sweep s;
    bool begun = sweep_begin(&s, graph);
    retort_status status = begun ? walk(&s, err) : rt_fail_nomem(err, graph->node_count * sizeof(rt_node));
    rt_node *nodes = status == RETORT_OK ? rt_calloc(s.done, sizeof *nodes) : NULL;
    if (nodes != NULL) {
        renumber_values(&s, graph);
        renumber_nodes(&s, graph, nodes);
    } else if (status == RETORT_OK) {
        status = rt_fail_nomem(err, s.done * sizeof *nodes);
    }
    sweep_end(&s);
    return status;
}
