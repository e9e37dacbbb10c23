/* SPDX-License-Identifier: Apache-2.0
 * Weights of fewer than 8 bits in int8 panels, beside the codes that a graph has. Panels are made while the model runs,
 * by the worker that needs one for the second time: until then its codes are multiplied as they are, so that the first
 * answer waits for nothing and takes no memory for them. Sessions share them, without locks. Outlier rows are added to the
 * rows that they belong to: a product with int8 panels has none, and the same sums. */
#ifndef RT_GRAPH_UNPACKED_H
#define RT_GRAPH_UNPACKED_H

#include "graph/graph.h"
#include "kernel/kernel.h"

#include <stdatomic.h>

/* One matrix. */
typedef struct rt_unpacked {
    rt_widen codes; /* of all its columns; out: its int8 panels, zeros until made */
    size_t outliers;
    const int8_t *outlier_rows;     /* [outliers, n] as P16_S8 */
    const int32_t *outlier_columns; /* [outliers] rows of the matrix that they are added to */
    _Atomic(uint8_t) *states;       /* [panels] */
} rt_unpacked;

/* All matrices of codes of a graph. */
typedef struct rt_unpacked_set {
    rt_unpacked *items; /* [count] in the order of rt_unpacked_find */
    size_t count, bytes;
    int8_t *panels; /* bytes of them: reserved, and touched only as far as they are made */
    _Atomic(uint8_t) *states;
} rt_unpacked_set;

/* The constants of the graph must outlive the set. */
retort_status rt_unpacked_open(rt_unpacked_set **out, const rt_graph *graph, retort_error *err);
void rt_unpacked_close(rt_unpacked_set *set);
/* The matrix of a Linear, in this graph or in one that borrows its constants; NULL: its weight is no matrix of codes. */
rt_unpacked *rt_unpacked_find(const rt_unpacked_set *set, const rt_graph *graph, const rt_node *node);

/* The int8 panels of columns from…*to, or NULL: multiply their codes. Shortens *to to columns of the same kind. from: a
 * multiple of RT_PANEL. Thread-safe. */
const int8_t *rt_unpacked_panels(const rt_unpacked *matrix, rt_widen_fn widen, size_t from, size_t *to);
/* Makes all panels that are not made yet. */
void rt_unpacked_make(const rt_unpacked *matrix, rt_widen_fn widen);
/* Bytes of the panels made so far. */
size_t rt_unpacked_made(const rt_unpacked_set *set);

#endif
