/* SPDX-License-Identifier: Apache-2.0
 * Split. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_split(rt_shapes *s) {
    const rt_value *data = s->in[0], *sizes = rt_optional(s, 1);
    int axis, parts = s->node->output_count;
    int64_t left, size;
    if (!rt_axis(s->node->attrs.axis, data->rank, &axis) || data->dims[axis] < 0) {
        return rt_fail(s->err, RETORT_FORMAT, "axis %lld is missing or symbolic",
                       (long long)s->node->attrs.axis);
    }
    left = data->dims[axis];
    size = left / parts;
    for (int k = 0; k < parts; k++) {
        bool known = sizes == NULL ? left >= size : rt_content_number(sizes, k, &size);
        if (!known || size < 0 || size > left)
            return rt_fail(s->err, RETORT_FORMAT, "part %d has no size", k);
        rt_out_like(s, k, data);
        s->out[k].content = (rt_content){0};
        s->out[k].dims[axis] = size;
        left -= size;
    }
    if (left != 0) return rt_fail(s->err, RETORT_FORMAT, "%d parts do not fill dim %d", parts, axis);
    return RETORT_OK;
}

static retort_status evaluate_split(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *data = e->inputs[0];
    size_t outer, n, inner, before = 0, size = rt_dtype_size(data->dtype);
    int axis = 0;
    rt_axis(e->node->attrs.axis, data->rank, &axis);
    rt_around_axis(data, axis, &outer, &n, &inner);
    for (int k = 0; k < e->node->output_count; k++) {
        const rt_tensor *part = &e->outputs[k];
        size_t own = (size_t)part->shape[axis], block = own * inner * size;
        for (size_t i = 0; i < outer; i++) {
            rt_copy_bytes(rt_bytes_of(part) + i * block,
                          (const char *)data->data + (i * n + before) * inner * size, block);
        }
        before += own;
    }
    return RETORT_OK;
}

const rt_op_row rt_op_split = {
    .text = "Split",
    .min_inputs = 1,
    .max_inputs = 2,
    .outputs = 3,
    .attrs = RT_ATTR_AXIS,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_split,
    .evaluate = evaluate_split,
};
