/* SPDX-License-Identifier: Apache-2.0
 * Columns of x moved on their way into a Linear, and its weights with them, so that the product stays what it
 * was: x' = factor x + add, W' = W / factor, bias' = bias - add W' (SmoothQuant, arXiv 2211.10438, equation
 * 3, with the shift of Outlier Suppression+, arXiv 2304.09145). x' is made where x becomes int8 (rt_rows_q),
 * so that the residual and other readers of x are not touched: the fold is exact for every Linear. */
#ifndef RT_QUANT_MOVE_H
#define RT_QUANT_MOVE_H

#include "graph/graph.h"

typedef struct rt_move {
    float *factor, *add; /* [k]; NULL: x stays as it is */
} rt_move;
void rt_move_free(rt_move *move);

/* Whether x and the weight have no other reader that would be moved as well, and x is one block. */
bool rt_can_move(const rt_graph *graph, int node);
/* The weight and the bias, which are floats still. */
retort_status rt_move_weight(rt_graph *graph, int node, const rt_move *move, retort_error *err);
/* x, when the weight is an integer one: by its producer, or a Narrow that is added behind all nodes. Takes
 * copies. */
retort_status rt_move_x(rt_graph *graph, int node, const rt_move *move, retort_error *err);
/* Adds shift [n] to the bias of every Linear with this weight. */
retort_status rt_shift_bias(rt_graph *graph, int weight, const double *shift, retort_error *err);

#endif
