/* SPDX-License-Identifier: Apache-2.0
 * The readers of each value, dead nodes, and names, maintained while a graph is edited, so that an edit takes
 * time in proportion to what it touches. */
#ifndef RT_GRAPH_LINKS_H
#define RT_GRAPH_LINKS_H

#include "base/names.h"
#include "graph/graph.h"

/* A reader is an input of a node: RT_MAX_INPUTS * node + index. */
struct rt_links {
    int *first, *uses; /* [values] a reader, -1: none; how many there are */
    int *next, *last;  /* [readers] of the same value; -1: none, and the one before */
    int *marks;        /* [values] notes of a rewrite, which it clears */
    bool *dead;        /* [nodes] */
    size_t first_capacity, uses_capacity, next_capacity, last_capacity, marks_capacity, dead_capacity;
    int *loose; /* values that lost their last reader; some may have new ones */
    size_t loose_count, loose_capacity;
    size_t fresh;           /* values from here on are new and need no reader yet */
    rt_names nodes, values; /* the newest of each name */
    rt_names numbers;       /* for a name that is taken: the next number to append */
    bool failed;            /* out of memory */
};

/* Builds graph->links. False: out of memory; then graph->links is NULL. */
bool rt_links_open(rt_graph *graph);
/* Removes them; the graph keeps the memory for the next time. */
void rt_links_close(rt_graph *graph);
void rt_links_free(rt_graph *graph);
/* After an edit: removes what nobody needs, and its reads. False: out of memory. */
bool rt_links_settle(rt_graph *graph);
/* The live value of this name; whether a live node has it. */
int rt_links_value(const rt_graph *graph, const char *name);
bool rt_links_has_node(const rt_graph *graph, const char *name);

/* The number to append first to the name of a value, and to set it for the next time. Works without links,
 * too. */
int rt_links_number(const rt_graph *graph, const char *name);
void rt_links_put_number(rt_graph *graph, const char *name, int number);

/* Called by construction for the newest value or node. False: out of memory. */
bool rt_links_add_value(rt_graph *graph);
bool rt_links_add_node(rt_graph *graph);

/* Input k of a node becomes `value` (-1: absent). Works without links, too. */
void rt_node_read(rt_graph *graph, int node, int k, int value);
/* Drops the inputs from `count` on. */
void rt_node_cut(rt_graph *graph, int node, int count);
/* Inputs from…to-1 become absent. */
void rt_node_drop(rt_graph *graph, int node, int from, int to);

#endif
