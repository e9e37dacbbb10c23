/* SPDX-License-Identifier: Apache-2.0
 * Shape. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_shape(rt_shapes *s) {
    rt_value *out = &s->out[0];
    rt_out_begin(s, RETORT_I64);
    rt_push_dim(out, s->in[0]->rank);
    out->content = (rt_content){.known = true, .count = s->in[0]->rank};
    for (int i = 0; i < s->in[0]->rank; i++) {
        out->content.at[i] = s->in[0]->dims[i];
        if (s->in[0]->dims[i] < 0) out->content.symbols |= 1u << i;
    }
    return RETORT_OK;
}

static retort_status evaluate_shape(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *x = e->inputs[0];
    rt_copy_bytes(rt_bytes_of(&e->outputs[0]), x->shape, (size_t)x->rank * sizeof *x->shape);
    return RETORT_OK;
}

const rt_op_row rt_op_shape = {
    .text = "Shape",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .kind = RT_OP_KIND_SHAPE,
    .infer = infer_shape,
    .evaluate = evaluate_shape,
};
