/* SPDX-License-Identifier: Apache-2.0
 * Shared by the shape rules of the fused operators (levels 2 and 3). "Rows" are all dims but the last:
 * [batch, seq] while batches are padded, [tokens] if they are ragged, [batch] or [rows] after a selection. */
#ifndef RT_GRAPH_OP_FUSED_H
#define RT_GRAPH_OP_FUSED_H

#include "graph/infer.h"

/* Output 0: the rows of `like`, then n. */
void rt_rows_like(rt_shapes *s, const rt_value *like, int rows_rank, int64_t n);
/* Whether the operator can make the output dtype: bf16, and with `s8` also int8 for ragged rows; and
 * whether the static range is one. */
retort_status rt_check_out_dtype(const rt_shapes *s, const rt_value *rows, bool s8);
/* Whether inputs `index` and the next are factor and addend of channel scaling for an s8 output, or
 * absent. */
retort_status rt_check_channel_scaling(const rt_shapes *s, int index);
/* Output 0 is float; a second one, if any, is the same in the output dtype, after channel scaling by operands
 * `scaled` (the factor) and the next (the addend). */
retort_status rt_float_and_converted(rt_shapes *s, int scaled);
/* Whether a value has this dtype and these dims, row-major. */
bool rt_is_rows(const rt_value *value, retort_dtype dtype, int rank, const int64_t *dims);
/* Groups along n elements, 0 when `group` is no multiple of `unit`. */
int64_t rt_group_count(const rt_shapes *s, int64_t n, int64_t unit);
bool rt_is_table(const rt_value *value, int64_t n);
/* Whether the rows of an activation are padded sequences. */
bool rt_is_padded(const rt_value *x);
/* Whether the mask exists exactly if the rows of the keys are padded. */
bool rt_mask_fits(const rt_shapes *s, int index, const rt_value *keys);

#endif
