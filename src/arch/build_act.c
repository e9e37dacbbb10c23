/* SPDX-License-Identifier: Apache-2.0
 * Activations of Dense modules as plain operators, with the defaults of torch.nn. They have one row a text, so
 * those that no Linear has as an attribute need no kernel: they run as plain C. */
#include "arch/builder.h"

static int identity(rt_builder *b, const char *scope, int x) {
    return rt_emit_activation(b, scope, RT_FN_NONE, x);
}
static int tangent(rt_builder *b, const char *scope, int x) {
    return rt_emit_activation(b, scope, RT_FN_TANH, x);
}
static int relu(rt_builder *b, const char *scope, int x) {
    return rt_emit_activation(b, scope, RT_FN_RELU, x);
}
static int gelu(rt_builder *b, const char *scope, int x) {
    return rt_emit_activation(b, scope, RT_FN_GELU, x);
}

static int sigmoid(rt_builder *b, const char *scope, int x) {
    return rt_emit1(b, RT_OP_SIGMOID, scope, "sigmoid", x);
}
static int soft_plus(rt_builder *b, const char *scope, int x) {
    return rt_emit1(b, RT_OP_SOFTPLUS, scope, "softplus", x);
}
static int silu(rt_builder *b, const char *scope, int x) {
    return rt_emit2(b, RT_OP_MUL, scope, "silu", x, sigmoid(b, scope, x));
}
/* x tanh(softplus(x)) */
static int mish(rt_builder *b, const char *scope, int x) {
    return rt_emit2(b, RT_OP_MUL, scope, "mish", x,
                    rt_emit1(b, RT_OP_TANH, scope, "tanh", soft_plus(b, scope, x)));
}
/* max(x, x/100) */
static int leaky_relu(rt_builder *b, const char *scope, int x) {
    return rt_emit2(b, RT_OP_MAX, scope, "leaky", x, rt_emit_by(b, RT_OP_MUL, scope, "slope", x, 0.01f));
}
/* -softplus(-x) */
static int log_sigmoid(rt_builder *b, const char *scope, int x) {
    int minus = rt_emit_by(b, RT_OP_MUL, scope, "minus", x, -1);
    return rt_emit_by(b, RT_OP_MUL, scope, "negative", soft_plus(b, scope, minus), -1);
}
static int tanh_shrink(rt_builder *b, const char *scope, int x) {
    return rt_emit2(b, RT_OP_SUB, scope, "shrink", x, rt_emit1(b, RT_OP_TANH, scope, "tanh", x));
}
/* x / (1 + max(x, -x)) */
static int soft_sign(rt_builder *b, const char *scope, int x) {
    int minus = rt_emit_by(b, RT_OP_MUL, scope, "minus", x, -1);
    int size = rt_emit2(b, RT_OP_MAX, scope, "abs", x, minus);
    return rt_emit2(b, RT_OP_DIV, scope, "div", x, rt_emit_by(b, RT_OP_ADD, scope, "one", size, 1));
}

int rt_emit_module_act(rt_builder *b, const char *scope, rt_module_act act, int x) {
    static int (*const emits[])(rt_builder *, const char *, int) = {
#define EMIT(name, text, emit) [RT_MODULE_##name] = emit,
        RT_MODULE_ACTS(EMIT)
#undef EMIT
    };
    return emits[act](b, scope, x);
}
