/* SPDX-License-Identifier: Apache-2.0
 * A new head, to be trained. */
#ifndef RT_ARCH_HEAD_H
#define RT_ARCH_HEAD_H

#include "arch/encoder.h"

/* Task, problem and labels of the head, in place of those of a plain encoder. Refuses two labels of one name. */
retort_status rt_head_config(rt_config *out, rt_arena *arena, const retort_head *head, retort_error *err);
/* A Linear [rows, columns] with a bias of zeros; `role` tells apart those that are drawn from one seed. */
retort_status rt_head_linear(rt_weight *out, rt_arena *arena, uint64_t seed, rt_role role, int64_t rows,
                             int64_t columns, retort_error *err);
/* A LayerNorm that scales nothing. */
retort_status rt_head_norm(rt_weight *out, rt_arena *arena, int64_t columns, retort_error *err);

#endif
