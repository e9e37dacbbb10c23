/* SPDX-License-Identifier: Apache-2.0
 * Gather. */
#include "graph/evaluate.h"
#include "graph/infer.h"

/* The content of a Gather with known indices from an integer vector. */
static void gather_content(rt_shapes *s) {
    const rt_content *data = &s->in[0]->content;
    rt_content picked = {.known = data->known && s->in[0]->rank == 1 && s->in[1]->content.known};
    for (int i = 0; picked.known && i < s->in[1]->content.count; i++) {
        int64_t number;
        int at = 0;
        picked.known = rt_content_number(s->in[1], i, &number) && rt_axis(number, data->count, &at);
        if (picked.known) rt_push_content(&picked, data, at);
    }
    s->out[0].content = picked.known ? picked : (rt_content){0};
}

static retort_status infer_gather(rt_shapes *s) {
    const rt_value *data = s->in[0], *indices = s->in[1];
    int axis;
    if (indices->dtype != RETORT_I64) return rt_fail(s->err, RETORT_FORMAT, "indices are not i64");
    if (!rt_axis(s->node->attrs.axis, data->rank, &axis)) {
        return rt_fail(s->err, RETORT_FORMAT, "there is no axis %lld", (long long)s->node->attrs.axis);
    }
    rt_out_begin(s, data->dtype);
    if (!rt_push_dims(&s->out[0], data->dims, 0, axis) ||
        !rt_push_dims(&s->out[0], indices->dims, 0, indices->rank) ||
        !rt_push_dims(&s->out[0], data->dims, axis + 1, data->rank))
        return rt_fail(s->err, RETORT_LIMIT, "rank over %d", RT_MAX_RANK);
    gather_content(s);
    return RETORT_OK;
}

static retort_status evaluate_gather(rt_op_evaluation *e, retort_error *err) {
    const rt_tensor *data = e->inputs[0];
    const int64_t *indices = e->inputs[1]->data;
    size_t outer, n, inner, count = rt_tensor_count(e->inputs[1]);
    int axis = 0;
    rt_axis(e->node->attrs.axis, data->rank, &axis);
    rt_around_axis(data, axis, &outer, &n, &inner);
    size_t block = inner * rt_dtype_size(data->dtype);
    char *to = rt_bytes_of(&e->outputs[0]);
    for (size_t i = 0; i < outer; i++) {
        for (size_t k = 0; k < count; k++, to += block) {
            int64_t at = indices[k] < 0 ? indices[k] + (int64_t)n : indices[k];
            if (at < 0 || at >= (int64_t)n) {
                return rt_fail(err, RETORT_ARGUMENT, "%.200s: index %lld of %zu", e->node->name,
                               (long long)indices[k], n);
            }
            rt_copy_bytes(to, (const char *)data->data + (i * n + (size_t)at) * block, block);
        }
    }
    return RETORT_OK;
}

const rt_op_row rt_op_gather = {
    .text = "Gather",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .attrs = RT_ATTR_AXIS,
    .kind = RT_OP_KIND_EMBED,
    .infer = infer_gather,
    .evaluate = evaluate_gather,
};
