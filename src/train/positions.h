/* SPDX-License-Identifier: Apache-2.0
 * Position keys and queries in training (DeBERTa). Those of all layers are made of one table, which may be normalised:
 *   P = T W + b, T = R or LayerNorm(R)
 * where W and b belong to the layer alone, or are those of its keys or queries. The graph in training has P. What P is made of
 * are parameters beside it: P follows them before each step, and gives them its gradient after it. */
#ifndef RT_TRAIN_POSITIONS_H
#define RT_TRAIN_POSITIONS_H

#include "grad/parameters.h"

typedef struct rt_positions rt_positions;

/* Of a graph of level 3 and its base of level 0; *out is NULL where these have no position keys and queries. Adds parameters,
 * and constants that no node reads. After a failure, *out is to be closed. */
retort_status rt_positions_open(rt_positions **out, rt_parameters *parameters, rt_graph *graph,
                                const rt_graph *base, retort_error *err);
void rt_positions_close(rt_positions *positions);
void rt_positions_refresh(const rt_positions *positions, const rt_parameters *all);
void rt_positions_gather(const rt_positions *positions, const rt_parameters *all);

#endif
