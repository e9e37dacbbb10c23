/* SPDX-License-Identifier: Apache-2.0
 * What scores get by distance, matched by fuse-attention. */
#ifndef RT_GRAPH_REWRITE_RELATIVE_H
#define RT_GRAPH_REWRITE_RELATIVE_H

#include "graph/match.h"

/* Constants, -1: absent. */
typedef struct rt_relative_match {
    int index, bias; /* bias: [heads, columns], or turned, [columns, heads] */
    bool bias_turned;
    int pos_key, pos_query; /* [(1,) heads, dim, rows] and [(1,) heads, rows, dim] */
    int queries, keys;      /* what these are multiplied with */
    bool query_turned;      /* pos_query is [(1,) heads, dim, rows], and keys are [batch, heads, seq, dim] */
    int turned_index;       /* of it: the index by the distance of query and key instead of key and query */
    double scale;           /* of the products with pos_key and pos_query */
} rt_relative_match;
#define RT_RELATIVE_NONE                                                                                     \
    {                                                                                                        \
        .index = -1, .bias = -1, .pos_key = -1, .pos_query = -1, .queries = -1, .keys = -1,                  \
        .turned_index = -1, .scale = 1                                                                       \
    }

/* value = scores + bias: the scores, with m->index and m->bias; else the value itself. */
int rt_match_bias(const rt_graph *graph, int value, rt_relative_match *m);
/* value = scores + picked products with position keys and queries, all times m->scale: the scores; else the value itself. */
int rt_match_positions(const rt_graph *graph, int value, rt_relative_match *m);
/* The operand [heads, columns] that a bias is; -1: out of memory. */
int rt_bias_operand(rt_graph *graph, const rt_relative_match *m);
/* The operand [rows, heads dim] that a table of position keys, or of queries, is; -1: out of memory. */
int rt_position_operand(rt_graph *graph, const char *scope, const rt_relative_match *m, bool keys);
/* Whether both indices say the same of a distance. */
bool rt_indices_agree(const rt_graph *graph, const rt_relative_match *m);
/* The index by the distance of key and query; -1: there is none. */
int rt_index_operand(rt_graph *graph, const char *scope, const rt_relative_match *m);

#endif
