/* SPDX-License-Identifier: Apache-2.0
 * Select: x […, n] (, ids) -> the rows that are read: [batch, n] (first, last) or [rows, n] (mask tokens). Below level
 * 3 the mask stands in place of the ids for the last row. */
#include "graph/infer.h"
#include "graph/op/fused.h"

static retort_status infer_select(rt_shapes *s) {
    const rt_value *x = s->in[SELECT_X], *ids = rt_optional(s, SELECT_IDS);
    bool mask = s->node->attrs.select == RT_SELECT_MASK_TOKENS;
    if (x->dtype != RETORT_F32 || x->rank < 2 || x->rank > 3 || s->node->attrs.select == RT_SELECT_ALL) {
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 […, n] and select=first, last or mask");
    }
    bool fits = ids == NULL ? !mask : ids->dtype == RETORT_I64 && ids->rank == x->rank - 1;
    for (int i = 0; fits && ids != NULL && i < ids->rank; i++) fits = ids->dims[i] == x->dims[i];
    if (!fits) return rt_fail(s->err, RETORT_FORMAT, "the ids do not fit");
    rt_out_begin(s, RETORT_F32);
    rt_push_dim(&s->out[0], mask ? RT_DIM_MASK_TOKENS : rt_is_padded(x) ? x->dims[0] : RT_DIM_BATCH);
    rt_push_dim(&s->out[0], x->dims[x->rank - 1]);
    return RETORT_OK;
}

const rt_op_row rt_op_select = {
    .text = "Select",
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_SELECT,
    .level = 2,
    .kind = RT_OP_KIND_ROWS,
    .infer = infer_select,
};
