/* SPDX-License-Identifier: Apache-2.0
 * Sqrt, Erf, Tanh, Relu, Sigmoid, Log, Softplus, Cos and Sin, element by element. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <math.h>

static float relu(float x) {
    return x < 0 ? 0 : x;
}

static float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

static float natural_log(float x) {
    return (float)log((double)x); /* rounded once, so that every C library gives the same */
}

/* ln(1 + exp(x)), without overflow */
static float softplus(float x) {
    return relu(x) + log1pf(expf(-fabsf(x)));
}

/* Rounded from doubles, so that no C library has a say in the last bit but once in a billion times. */
static float cosine(float x) {
    return (float)cos((double)x);
}

static float sine(float x) {
    return (float)sin((double)x);
}

/* One row per unary operator. */
static float (*const unaries[RT_OP_COUNT])(float) = {
    [RT_OP_SQRT] = sqrtf,      [RT_OP_ERF] = erff,        [RT_OP_TANH] = tanhf,
    [RT_OP_RELU] = relu,       [RT_OP_SIGMOID] = sigmoid, [RT_OP_SOFTPLUS] = softplus,
    [RT_OP_LOG] = natural_log, [RT_OP_COS] = cosine,      [RT_OP_SIN] = sine};

static retort_status evaluate_unary(rt_op_evaluation *e, retort_error *err) {
    (void)err;
    const float *x = e->inputs[0]->data;
    float *y = rt_floats_of(&e->outputs[0]);
    for (size_t i = 0; i < rt_tensor_count(&e->outputs[0]); i++) y[i] = unaries[e->node->op](x[i]);
    return RETORT_OK;
}

const rt_op_row rt_op_sqrt = {
    .text = "Sqrt",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_erf = {
    .text = "Erf",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_tanh = {
    .text = "Tanh",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_relu = {
    .text = "Relu",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_sigmoid = {
    .text = "Sigmoid",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_log = {
    .text = "Log",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_softplus = {
    .text = "Softplus",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_cos = {
    .text = "Cos",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
const rt_op_row rt_op_sin = {
    .text = "Sin",
    .min_inputs = 1,
    .max_inputs = 1,
    .outputs = 1,
    .infer = rt_infer_float_same,
    .evaluate = evaluate_unary,
};
