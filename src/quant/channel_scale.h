/* SPDX-License-Identifier: Apache-2.0
 * Channel scaling: columns of x are scaled and shifted on their way into a Linear, and its weights undo it:
 *   x' = factor x + add,  W' = W / factor,  bias' = bias - add W'
 * (SmoothQuant, arXiv 2211.10438, equation 3, with the shift of Outlier Suppression+, arXiv 2304.09145). x'
 * is computed where x is rounded to int8 (rt_rows_q), so the residual and other readers of x are not
 * affected: it is exact for every Linear. */
#ifndef RT_QUANT_CHANNEL_SCALE_H
#define RT_QUANT_CHANNEL_SCALE_H

#include "graph/graph.h"

typedef struct rt_channel_scale {
    float *factor, *add; /* [k]; NULL: x is not scaled */
} rt_channel_scale;
void rt_channel_scale_free(rt_channel_scale *scaling);

/* Whether x and the weight have no other reader that would be affected, and x is one block. */
bool rt_can_scale_channels(const rt_graph *graph, int node);
/* Scales the weight and the bias, while they are floats. */
retort_status rt_channel_scale_weight(rt_graph *graph, int node, const rt_channel_scale *scaling,
                                      retort_error *err);
/* Scales x, once the weight is an integer one: in its producer, or in a Convert appended after all nodes.
 * Copies `scaling`. */
retort_status rt_channel_scale_x(rt_graph *graph, int node, const rt_channel_scale *scaling,
                                 retort_error *err);
/* Adds shift [n] to the bias of every Linear with this weight. */
retort_status rt_shift_bias(rt_graph *graph, int weight, const double *shift, retort_error *err);

#endif
