/* SPDX-License-Identifier: Apache-2.0
 * GatherElements: the output has the dims of the indices, each of which names an element along the axis. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_gather_elements(rt_shapes *s) {
    const rt_value *data = s->in[0], *indices = s->in[1];
    int axis;
    if (indices->dtype != RETORT_I64 || indices->rank != data->rank)
        return rt_fail(s->err, RETORT_FORMAT, "indices are not i64 of the same rank");
    if (!rt_axis(s->node->attrs.axis, data->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "there is no axis %lld", (long long)s->node->attrs.axis);
    }
    for (int i = 0; i < data->rank; i++) {
        if (i != axis && indices->dims[i] != data->dims[i])
            return rt_fail(s->err, RETORT_FORMAT, "dims differ on axis %d", i);
    }
    rt_out_like(s, 0, indices);
    s->out[0].dtype = data->dtype;
    s->out[0].content = (rt_content){0};
    return RETORT_OK;
}

static retort_status evaluate_gather_elements(rt_op_evaluation *e, retort_error *err) {
    const rt_tensor *data = e->inputs[0];
    const int64_t *indices = e->inputs[1]->data;
    size_t outer, n, inner, size = rt_dtype_size(data->dtype);
    int axis = 0;
    rt_axis(e->node->attrs.axis, data->rank, &axis);
    rt_around_axis(data, axis, &outer, &n, &inner);
    size_t picked = (size_t)e->outputs[0].shape[axis], count = outer * picked * inner;
    char *to = rt_bytes_of(&e->outputs[0]);
    for (size_t i = 0; i < count; i++, to += size) {
        int64_t at = indices[i] < 0 ? indices[i] + (int64_t)n : indices[i];
        if (at < 0 || at >= (int64_t)n) {
            return rt_fail(err, RETORT_ARGUMENT, "%.200s: index %lld of %zu", e->node->name,
                           (long long)indices[i], n);
        }
        size_t place = (i / (picked * inner) * n + (size_t)at) * inner + i % inner;
        rt_copy_bytes(to, (const char *)data->data + place * size, size);
    }
    return RETORT_OK;
}

const rt_op_row rt_op_gather_elements = {
    .text = "GatherElements",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS,
    .infer = infer_gather_elements,
    .evaluate = evaluate_gather_elements,
};
