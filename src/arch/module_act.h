/* SPDX-License-Identifier: Apache-2.0
 * The activations that a Dense module of sentence-transformers may have, and that a cross-encoder's logits may go
 * through to become scores: classes of torch.nn. */
#ifndef RT_ARCH_MODULE_ACT_H
#define RT_ARCH_MODULE_ACT_H

#include <stdbool.h>
#include <stddef.h>

/* One row per class: its name here and in torch.nn, and the function of build_act.c that emits it. */
#define RT_MODULE_ACTS(X)                                                                                    \
    X(IDENTITY, "Identity", identity)                                                                        \
    X(TANH, "Tanh", tangent)                                                                                 \
    X(RELU, "ReLU", relu)                                                                                    \
    X(GELU, "GELU", gelu)                                                                                    \
    X(SIGMOID, "Sigmoid", sigmoid)                                                                           \
    X(SILU, "SiLU", silu)                                                                                    \
    X(LEAKY_RELU, "LeakyReLU", leaky_relu)                                                                   \
    X(SOFTPLUS, "Softplus", soft_plus)                                                                       \
    X(MISH, "Mish", mish)                                                                                    \
    X(LOG_SIGMOID, "LogSigmoid", log_sigmoid)                                                                \
    X(TANH_SHRINK, "Tanhshrink", tanh_shrink)                                                                \
    X(SOFTSIGN, "Softsign", soft_sign)

typedef enum rt_module_act {
#define RT_MODULE_ACT_ENUM(name, text, emit) RT_MODULE_##name,
    RT_MODULE_ACTS(RT_MODULE_ACT_ENUM)
#undef RT_MODULE_ACT_ENUM
} rt_module_act;

/* By a path such as "torch.nn.modules.activation.Tanh"; false: it is not one of these. */
bool rt_module_act_find(rt_module_act *out, const char *path);
/* "Identity, Tanh, …" into out[size]; returns out. */
const char *rt_module_act_names(char *out, size_t size);

/* How a cross-encoder's logits become scores, if its files say so; else the problem does. Softmax is over the labels, the
 * others are of each logit. */
typedef struct rt_scoring {
    bool stated, softmax;
    rt_module_act act;
} rt_scoring;

/* By torch.nn's path, or by the name that rt_scoring_name gives; false: unknown. */
bool rt_scoring_find(rt_scoring *out, const char *path);
/* "Tanh", "Softmax"; NULL if nothing is stated. */
const char *rt_scoring_name(const rt_scoring *scoring);

#endif
