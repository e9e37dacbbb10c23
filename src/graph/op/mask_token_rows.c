/* SPDX-License-Identifier: Apache-2.0
 * MaskRows: selects the rows of mask tokens, (x [batch, seq, n], ids) -> [rows, n]; the first step of a
 * fill head. */
#include "graph/evaluate.h"
#include "graph/infer.h"

static retort_status infer_mask_token_rows(rt_shapes *s) {
    const rt_value *x = s->in[0], *ids = s->in[1];
    rt_out_begin(s, RETORT_F32);
    if (x->dtype != RETORT_F32 || x->rank != 3 || ids->dtype != RETORT_I64 || ids->rank != 2 ||
        ids->dims[0] != x->dims[0] || ids->dims[1] != x->dims[1])
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 [batch, seq, n] and i64 [batch, seq]");
    rt_push_dim(&s->out[0], RT_DIM_MASK_TOKENS);
    rt_push_dim(&s->out[0], x->dims[2]);
    return RETORT_OK;
}

static retort_status evaluate_mask_token_rows(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *x = e->inputs[0];
    const int64_t *ids = e->inputs[1]->data;
    size_t row = (size_t)x->shape[2] * sizeof(float);
    char *to = rt_bytes_of(&e->outputs[0]);
    for (size_t i = 0; i < rt_tensor_count(e->inputs[1]); i++) {
        if (ids[i] != e->mask_id) continue;
        rt_copy_bytes(to, (const char *)x->data + i * row, row);
        to += row;
    }
    return RETORT_OK;
}

const rt_op_row rt_op_mask_token_rows = {
    .text = "MaskRows",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .kind = RT_OP_KIND_ROWS,
    .infer = infer_mask_token_rows,
    .evaluate = evaluate_mask_token_rows,
};
