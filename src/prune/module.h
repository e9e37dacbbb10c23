/* SPDX-License-Identifier: Apache-2.0
 * What can be pruned in a level-3 graph of floats: units of modules. A module ends in a Linear into the residual
 * stream, and a unit is a range of the columns that this Linear reads: those of a head of attention, or one column of
 * a feed-forward network. The nodes before make these columns, and lose theirs with the unit. */
#ifndef RT_PRUNE_MODULE_H
#define RT_PRUNE_MODULE_H

#include "graph/graph.h"

typedef enum rt_prune_kind { RT_PRUNE_HEADS, RT_PRUNE_FFN } rt_prune_kind;

/* Nodes are indices: valid until the graph is swept. */
typedef struct rt_prune_module {
    rt_prune_kind kind;
    size_t layer;
    int out;        /* the Linear into the residual stream: W_O or W_2 */
    int attention;  /* heads: the Attention; else -1 */
    int sources[3]; /* the Linears that make the columns: of q, k and v, some of which may be one; or W_1 */
    int source_count;
    int values;         /* a Linear per head between attention and `out` (rewrite "skip-keys"), or -1 */
    size_t units, unit; /* their number, and the columns of one */
} rt_prune_module;

typedef struct rt_prune_modules {
    rt_prune_module *items;
    size_t count;
} rt_prune_modules;

/* All modules, in the order of the graph. Heads that share keys (grouped-query attention) are no units. */
retort_status rt_prune_modules_find(rt_prune_modules *out, const rt_graph *graph, retort_error *err);
void rt_prune_modules_free(rt_prune_modules *modules);

/* Leaves `count` units, ascending in `kept`, and gives `out` the weight [count * unit, n], row-major, and the bias [n]; NULL:
 * its own rows, its own bias. The graph owns what is new. */
retort_status rt_prune_cut(rt_graph *graph, const rt_prune_module *module, const uint32_t *kept, size_t count,
                           const float *weight, const float *bias, retort_error *err);

/* Heads of attention of a layer, and columns of the Linear with an activation or a gate that follows it; false: there is no
 * such layer. Any graph of level 2 or 3. */
bool rt_layer_describe(const rt_graph *graph, size_t layer, int64_t *heads, int64_t *ffn);

/* Layers count the Attentions of the graph, from 0, whatever nodes are called. */
size_t rt_prune_layer_count(const rt_graph *graph);
/* Whether a layer can be removed: it reads and gives the residual stream. The last one cannot. */
bool rt_prune_layer_fits(const rt_graph *graph, size_t layer);
/* Removes a layer that fits: what reads its output reads its input. */
retort_status rt_prune_layer(rt_graph *graph, size_t layer, retort_error *err);
/* Numbers the layers anew, 0, 1, …, in names such as "layer.5.ffn.lin1" of nodes and constants. */
retort_status rt_prune_number_layers(rt_graph *graph, retort_error *err);

#endif
