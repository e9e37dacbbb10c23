/* SPDX-License-Identifier: Apache-2.0
 * Concat. */
#include "graph/evaluate.h"
#include "graph/infer.h"

/* The vectors' elements one after the other. */
static void concat_content(rt_shapes *s) {
    rt_content joint = {.known = s->out[0].rank == 1};
    for (int i = 0; joint.known && i < s->node->input_count; i++) {
        const rt_content *part = &s->in[i]->content;
        joint.known = part->known;
        for (int k = 0; joint.known && k < part->count; k++) rt_push_content(&joint, part, k);
    }
    s->out[0].content = joint.known ? joint : (rt_content){0};
}

static retort_status infer_concat(rt_shapes *s) {
    const rt_value *first = s->in[0];
    int axis;
    rt_out_like(s, 0, first);
    if (!rt_axis(s->node->attrs.axis, first->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "there is no axis %lld", (long long)s->node->attrs.axis);
    }
    int64_t *sum = &s->out[0].dims[axis];
    for (int i = 1; i < s->node->input_count; i++) {
        rt_value part;
        if (s->in[i] == NULL) return rt_fail(s->err, RETORT_FORMAT, "input %d is missing", i);
        part = *s->in[i];
        int64_t more = part.rank == first->rank ? part.dims[axis] : -1;
        part.dims[axis] = first->dims[axis];
        if (!rt_same_dims(&part, first) || part.dtype != first->dtype || more < 0 || *sum < 0 ||
            __builtin_add_overflow(*sum, more, sum))
            return rt_fail(s->err, RETORT_FORMAT, "input %d does not continue the ones before", i);
    }
    concat_content(s);
    return RETORT_OK;
}

static retort_status evaluate_concat(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *out = &e->outputs[0];
    size_t outer, n, inner, before = 0, size = rt_dtype_size(out->dtype);
    int axis = 0;
    rt_axis(e->node->attrs.axis, out->rank, &axis);
    rt_around_axis(out, axis, &outer, &n, &inner);
    for (int k = 0; k < e->node->input_count; k++) {
        const rt_tensor *part = e->inputs[k];
        size_t own = (size_t)part->shape[axis], block = own * inner * size;
        for (size_t i = 0; i < outer; i++) {
            rt_copy_bytes(rt_bytes_of(out) + (i * n + before) * inner * size,
                          (const char *)part->data + i * block, block);
        }
        before += own;
    }
    return RETORT_OK;
}

const rt_op_row rt_op_concat = {
    .text = "Concat",
    .min_inputs = 1,
    .max_inputs = 8,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_concat,
    .evaluate = evaluate_concat,
};
