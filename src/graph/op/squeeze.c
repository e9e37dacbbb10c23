/* SPDX-License-Identifier: Apache-2.0
 * Unsqueeze and Squeeze: insert and remove dims of 1. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_unsqueeze(rt_shapes *s) {
    const rt_value *data = s->in[0];
    int rank = data->rank + s->in[1]->content.count, next = 0;
    unsigned axes;
    if (rank > RT_MAX_RANK || !rt_content_axes(s->in[1], rank, &axes)) {
        return rt_fail(s->err, RETORT_FORMAT, "axes are not known, repeated or out of range");
    }
    rt_out_begin(s, data->dtype);
    for (int i = 0; i < rank; i++) rt_push_dim(&s->out[0], (axes >> i & 1u) != 0 ? 1 : data->dims[next++]);
    s->out[0].content = rank <= 1 ? data->content : (rt_content){0};
    return RETORT_OK;
}

static retort_status infer_squeeze(rt_shapes *s) {
    const rt_value *data = s->in[0];
    unsigned axes;
    if (!rt_content_axes(s->in[1], data->rank, &axes)) {
        return rt_fail(s->err, RETORT_FORMAT, "axes are not known, repeated or out of range");
    }
    rt_out_begin(s, data->dtype);
    for (int i = 0; i < data->rank; i++) {
        bool drop = (axes >> i & 1u) != 0;
        if (drop && data->dims[i] != 1) return rt_fail(s->err, RETORT_FORMAT, "dim %d is not 1", i);
        if (!drop) rt_push_dim(&s->out[0], data->dims[i]);
    }
    s->out[0].content = data->content;
    return RETORT_OK;
}

const rt_op_row rt_op_unsqueeze = {
    .text = "Unsqueeze",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_unsqueeze,
    .evaluate = rt_op_copy,
};
const rt_op_row rt_op_squeeze = {
    .text = "Squeeze",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_squeeze,
    .evaluate = rt_op_copy,
};
