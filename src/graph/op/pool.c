/* SPDX-License-Identifier: Apache-2.0
 * Pool: x […, n] (, mask below level 3) -> [batch, n]: mean, sum over √rows, weighted
 * mean, sum or max over each sequence's tokens. */
#include "graph/infer.h"
#include "graph/op/fused.h"

static retort_status infer_pool(rt_shapes *s) {
    const rt_value *x = s->in[POOL_X];
    if (x->dtype != RETORT_F32 || x->rank < 2 || x->rank > 3 || s->node->attrs.pool == RT_REDUCE_NONE) {
        return rt_fail(s->err, RETORT_FORMAT,
                       "expected f32 […, n] and pool=mean, mean_sqrt, weighted_mean, sum or max");
    }
    if (!rt_mask_fits(s, 1, x)) return rt_fail(s->err, RETORT_FORMAT, "the mask does not fit the rows");
    rt_out_begin(s, RETORT_F32);
    rt_push_dim(&s->out[0], rt_is_padded(x) ? x->dims[0] : RT_DIM_BATCH);
    rt_push_dim(&s->out[0], x->dims[x->rank - 1]);
    return RETORT_OK;
}

const rt_op_row rt_op_pool = {
    .text = "Pool",
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_POOL,
    .level = 2,
    .kind = RT_OP_KIND_ROWS,
    .infer = infer_pool,
};
