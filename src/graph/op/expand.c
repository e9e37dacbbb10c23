/* SPDX-License-Identifier: Apache-2.0
 * Expand. */
#include "graph/evaluate.h"
#include "graph/infer.h"

/* The content of a number that becomes a short vector of it. */
static void expand_content(rt_shapes *s) {
    const rt_content *number = &s->in[0]->content;
    int64_t count = s->out[0].rank == 1 ? s->out[0].dims[0] : -1;
    rt_content wide = {.known = number->known && number->count == 1 && count >= 0 && count <= RT_MAX_RANK};
    for (int64_t i = 0; wide.known && i < count; i++) rt_push_content(&wide, number, 0);
    if (wide.known) s->out[0].content = wide;
}

static retort_status infer_expand(rt_shapes *s) {
    const rt_content *target = &s->in[1]->content;
    rt_value wanted = {.rank = target->count};
    if (!target->known || s->in[1]->rank != 1)
        return rt_fail(s->err, RETORT_FORMAT, "the new shape is not known");
    for (int i = 0; i < target->count; i++) {
        wanted.dims[i] = target->at[i];
        if ((target->symbols >> i & 1u) == 0 && target->at[i] < 0) {
            return rt_fail(s->err, RETORT_FORMAT, "the new shape has a negative dim");
        }
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].content = (rt_content){0};
    retort_status status = rt_broadcast_with(s, &wanted);
    if (status == RETORT_OK) expand_content(s);
    return status;
}

static retort_status evaluate_expand(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    rt_view view = rt_view_broadcast(e->inputs[0], e->outputs[0].rank);
    rt_each_row(e, 1, &view, rt_copy_row);
    return RETORT_OK;
}

const rt_op_row rt_op_expand = {
    .text = "Expand",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_expand,
    .evaluate = evaluate_expand,
    .is_identity = rt_node_keeps_dims,
};
