/* SPDX-License-Identifier: Apache-2.0
 * Rotary positions, matched by fuse-attention: Q and K whose pairs of columns, half a head apart, turn by the place of the
 * row. */
#ifndef RT_GRAPH_REWRITE_TURNS_H
#define RT_GRAPH_REWRITE_TURNS_H

#include "graph/match.h"

/* Whether the value has that rank, and is 0, 1, … of the padded length as floats along the axis; its other dims are 1. */
bool rt_is_place(const rt_graph *graph, int value, int rank, int axis);
/* The heads [batch, …, dim] before they were turned, with rows along the axis, and the angles [dim / 2] at place 1; the value
 * itself, and -1, where it is something else, or where others read what is turned. */
int rt_unturned(const rt_graph *graph, int value, int axis, int *angles);

#endif
