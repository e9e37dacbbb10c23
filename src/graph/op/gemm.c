/* SPDX-License-Identifier: Apache-2.0
 * Gemm: sums in float over ascending k. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <string.h>

static retort_status infer_gemm(rt_shapes *s) {
    const rt_value *a = s->in[GEMM_A], *b = s->in[GEMM_B], *c = rt_optional(s, GEMM_C);
    bool trans = s->node->attrs.trans_b;
    if (a->dtype != RETORT_F32 || b->dtype != RETORT_F32 || (c != NULL && c->dtype != RETORT_F32))
        return rt_not_float(s);
    if (a->rank != 2 || b->rank != 2 || a->dims[1] != b->dims[trans ? 1 : 0]) {
        return rt_fail(s->err, RETORT_FORMAT, "expected [m, k] and %s", trans ? "[n, k]" : "[k, n]");
    }
    rt_out_begin(s, RETORT_F32);
    rt_push_dim(&s->out[0], a->dims[0]);
    rt_push_dim(&s->out[0], b->dims[trans ? 0 : 1]);
    rt_value wanted = s->out[0];
    if (c == NULL) return RETORT_OK;
    retort_status status = rt_broadcast_with(s, c);
    if (status == RETORT_OK && !rt_same_dims(&wanted, &s->out[0])) {
        status = rt_fail(s->err, RETORT_FORMAT, "the third input does not broadcast to the product");
    }
    return status;
}

/* c[m, n] += a[m, k] bᵀ, b [n, k] */
static void multiply_trans(size_t m, size_t n, size_t k, const float *a, const float *b, float *c) {
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            float sum = 0;
            for (size_t l = 0; l < k; l++) sum += a[i * k + l] * b[j * k + l];
            c[i * n + j] += sum;
        }
    }
}

static retort_status evaluate_gemm(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const rt_tensor *a = e->inputs[GEMM_A], *b = e->inputs[GEMM_B], *out = &e->outputs[0];
    const rt_tensor *bias = e->node->input_count > GEMM_C ? e->inputs[GEMM_C] : NULL;
    size_t m = (size_t)out->shape[0], n = (size_t)out->shape[1], k = (size_t)a->shape[1];
    float *c = rt_floats_of(out);
    memset(c, 0, m * n * sizeof *c);
    (e->node->attrs.trans_b ? multiply_trans : rt_multiply)(m, n, k, a->data, b->data, c);
    if (bias == NULL) return RETORT_OK;
    rt_view view = rt_view_broadcast(bias, 2);
    for (size_t i = 0; i < m; i++) {
        const char *row = view.data + (int64_t)i * view.stride[0];
        for (size_t j = 0; j < n; j++) {
            float more;
            memcpy(&more, row + (int64_t)j * view.stride[1], sizeof more);
            c[i * n + j] += more;
        }
    }
    return RETORT_OK;
}

const rt_op_row rt_op_gemm = {
    .text = "Gemm",
    .min_inputs = 2,
    .max_inputs = 3,
    .outputs = 1,
    .attrs = RT_ATTR_TRANS_B,
    .kind = RT_OP_KIND_MATRIX,
    .infer = infer_gemm,
    .evaluate = evaluate_gemm,
};
