/* SPDX-License-Identifier: Apache-2.0
 * A plan is a graph made ready for one machine: a step for each node, with its kernel, its packed weights and
 * the places of its operands in one arena. It is immutable; workers bring their own memory. */
#ifndef RT_ENGINE_PLAN_H
#define RT_ENGINE_PLAN_H

#include "engine/step.h"

/* unpacking: NULL for none. `capacity`: rows of a chunk; `positions`: the longest sequence. Weights that are not
 * packed yet are packed into the plan's own memory. */
retort_status rt_plan_make(rt_plan *out, const rt_graph *graph, const rt_kernels *kernels,
                           const rt_unpacking *unpacking, size_t capacity, size_t positions,
                           retort_error *err);
void rt_plan_free(rt_plan *plan);

#endif
