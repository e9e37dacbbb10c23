/* SPDX-License-Identifier: Apache-2.0
 * LayerNormalization, and LayerNorm, which is the same with a second output in another dtype, or with rms and
 * without beta about 0 instead of the mean: x / sqrt(mean(x²) + epsilon) gamma. Sums are in double. */
#include "graph/evaluate.h"
#include "graph/infer.h"
#include "graph/op/fused.h"

#include <math.h>

/* `centred`: beta is there. */
static retort_status infer_norm(rt_shapes *s, bool centred) {
    const rt_value *x = s->in[0], *beta = rt_optional(s, LAYER_NORM_BETA);
    if (x->dtype != RETORT_F32 || x->rank < 1) return rt_not_float(s);
    int64_t n = x->dims[x->rank - 1];
    if (!rt_is_vector(s->in[1], n, false) || (centred ? !rt_is_vector(beta, n, false) : beta != NULL)) {
        return rt_fail(s->err, RETORT_FORMAT, "expected f32 […, n] and %s f32 [n]", centred ? "two" : "one");
    }
    rt_out_like(s, 0, x);
    return RETORT_OK;
}

static retort_status infer_layer_normalization(rt_shapes *s) {
    return infer_norm(s, true);
}

static retort_status evaluate_layer_normalization(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const float *x = e->inputs[0]->data, *gamma = e->inputs[1]->data, *beta = e->inputs[2]->data;
    float *y = rt_floats_of(&e->outputs[0]);
    size_t n = rt_tensor_count(e->inputs[1]), total = rt_tensor_count(e->inputs[0]);
    for (size_t at = 0; at < total; at += n) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++) sum += (double)x[at + i];
        double mean = sum / (double)n;
        for (size_t i = 0; i < n; i++) squares += ((double)x[at + i] - mean) * ((double)x[at + i] - mean);
        double scale = 1 / sqrt(squares / (double)n + (double)e->node->attrs.epsilon);
        for (size_t i = 0; i < n; i++) {
            y[at + i] = (float)(((double)x[at + i] - mean) * scale) * gamma[i] + beta[i];
        }
    }
    return RETORT_OK;
}

static retort_status infer_layer_norm(rt_shapes *s) {
    retort_status status = infer_norm(s, !s->node->attrs.rms);
    return status == RETORT_OK ? rt_float_and_converted(s, LAYER_NORM_CHANNEL_SCALE) : status;
}

const rt_op_row rt_op_layer_normalization = {
    .text = "LayerNormalization",
    .min_inputs = 3,
    .max_inputs = 3,
    .outputs = 1,
    .attrs = RT_ATTR_EPSILON,
    .kind = RT_OP_KIND_NORM,
    .infer = infer_layer_normalization,
    .evaluate = evaluate_layer_normalization,
};
const rt_op_row rt_op_layer_norm = {
    .text = "LayerNorm",
    .min_inputs = 2,
    .max_inputs = 5,
    .outputs = 2,
    .attrs = RT_ATTR_EPSILON | RT_ATTR_OUT_DTYPE | RT_ATTR_RANGE | RT_ATTR_RMS,
    .level = 2,
    .kind = RT_OP_KIND_NORM,
    .infer = infer_layer_norm,
};
