/* SPDX-License-Identifier: Apache-2.0
 * MatMul: sums in float over ascending k. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <string.h>

static retort_status infer_matmul(rt_shapes *s) {
    const rt_value *a = s->in[0], *b = s->in[1];
    rt_value heads = {.rank = b->rank - 2};
    if (a->dtype != RETORT_F32 || b->dtype != RETORT_F32) return rt_not_float(s);
    if (a->rank < 2 || b->rank < 2) return rt_fail(s->err, RETORT_FORMAT, "expected matrices");
    if (a->dims[a->rank - 1] != b->dims[b->rank - 2]) {
        return rt_fail(s->err, RETORT_FORMAT, "the inner dims differ");
    }
    memcpy(heads.dims, b->dims, (size_t)heads.rank * sizeof *b->dims);
    rt_out_begin(s, RETORT_F32);
    rt_push_dims(&s->out[0], a->dims, 0, a->rank - 2);
    retort_status status = rt_broadcast_with(s, &heads);
    rt_push_dim(&s->out[0], a->dims[a->rank - 2]);
    rt_push_dim(&s->out[0], b->dims[b->rank - 1]);
    return status;
}

static retort_status evaluate_matmul(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *a = e->inputs[0], *b = e->inputs[1], *out = &e->outputs[0];
    size_t m = (size_t)a->shape[a->rank - 2], k = (size_t)a->shape[a->rank - 1];
    size_t n = (size_t)b->shape[b->rank - 1], total = rt_tensor_count(out);
    rt_view view_a = rt_view_broadcast(a, out->rank), view_b = rt_view_broadcast(b, out->rank);
    float *c = rt_floats_of(out);
    memset(c, 0, total * sizeof *c);
    for (size_t at = 0; at < total; at += m * n) {
        size_t left = at / (m * n);
        const char *from_a = view_a.data, *from_b = view_b.data;
        for (int i = out->rank - 3; i >= 0; i--) {
            int64_t index = (int64_t)(left % (size_t)out->shape[i]);
            from_a += index * view_a.stride[i];
            from_b += index * view_b.stride[i];
            left /= (size_t)out->shape[i];
        }
        rt_multiply(m, n, k, (const float *)(const void *)from_a, (const float *)(const void *)from_b,
                    c + at);
    }
    return RETORT_OK;
}

const rt_op_row rt_op_matmul = {
    .text = "MatMul",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .kind = RT_OP_KIND_MATRIX,
    .infer = infer_matmul,
    .evaluate = evaluate_matmul,
};
