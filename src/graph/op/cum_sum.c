/* SPDX-License-Identifier: Apache-2.0
 * CumSum of integers: each element becomes the sum of those up to it along an axis, which is an attribute here. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_cum_sum(rt_shapes *s) {
    int axis;
    if (s->in[0]->dtype != RETORT_I64) return rt_fail(s->err, RETORT_FORMAT, "expected i64");
    if (!rt_axis(s->node->attrs.axis, s->in[0]->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "there is no axis %lld", (long long)s->node->attrs.axis);
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].content = (rt_content){0};
    return RETORT_OK;
}

static retort_status evaluate_cum_sum(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const int64_t *x = e->inputs[0]->data;
    int64_t *y = (int64_t *)(void *)rt_bytes_of(&e->outputs[0]);
    size_t outer, n, inner;
    int axis = 0;
    rt_axis(e->node->attrs.axis, e->inputs[0]->rank, &axis);
    rt_around_axis(e->inputs[0], axis, &outer, &n, &inner);
    for (size_t at = 0; at < outer * n * inner; at++) {
        uint64_t before = at / inner % n > 0 ? (uint64_t)y[at - inner] : 0;
        y[at] = (int64_t)(before + (uint64_t)x[at]);
    }
    return RETORT_OK;
}

const rt_op_row rt_op_cum_sum = {
    .text = "CumSum",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_cum_sum,
    .evaluate = evaluate_cum_sum,
};
