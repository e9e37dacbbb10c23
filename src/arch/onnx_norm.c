/* SPDX-License-Identifier: Apache-2.0
 * LayerNorm and activations, as one operator or as the plain ones that older exporters write. */
#include "arch/onnx_match.h"

#include <math.h>

/* Whether two values are one, with or without 8 bits in between. */
static bool same(const rt_onnx_match *m, const char *a, const char *b) {
    return strcmp(rt_onnx_unrounded(m, a), rt_onnx_unrounded(m, b)) == 0;
}

/* ---- LayerNorm ---- */

static bool last_axis(const rt_onnx_match *m, const rt_onnx_node *node) {
    const rt_onnx_attr *axes = rt_onnx_attribute(node, "axes");
    bool listed = axes != NULL && axes->kind == RT_ONNX_ATTR_INTS && axes->count == 1;
    double axis = listed ? (double)axes->ints[0] : 0;
    if (axes == NULL && !rt_onnx_scalar(m, rt_onnx_input(node, 1), &axis)) return false;
    return axis == -1 || axis == 2;
}

/* x - mean(x), where x goes to *x */
static bool centred(const rt_onnx_match *m, const char *value, const char **x) {
    const rt_onnx_node *sub = rt_onnx_made_by(m, value, "Sub");
    const rt_onnx_node *mean = sub != NULL ? rt_onnx_made_by(m, rt_onnx_input(sub, 1), "ReduceMean") : NULL;
    if (mean == NULL || !last_axis(m, mean)) return false;
    *x = rt_onnx_input(sub, 0);
    return same(m, rt_onnx_input(mean, 0), *x);
}

/* √(mean((x - mean)²) + epsilon) */
static bool deviation(const rt_onnx_match *m, const char *value, const char *x, rt_onnx_norm *out) {
    const rt_onnx_node *root = rt_onnx_made_by(m, value, "Sqrt");
    const rt_onnx_node *add = root != NULL ? rt_onnx_made_by(m, rt_onnx_input(root, 0), "Add") : NULL;
    if (add == NULL || !rt_onnx_scalar(m, rt_onnx_input(add, 1), &out->epsilon)) return false;
    const rt_onnx_tensor *constant = rt_onnx_constant(m, rt_onnx_input(add, 1));
    out->half = constant != NULL && constant->type == RT_ONNX_FLOAT16;
    const rt_onnx_node *mean = rt_onnx_made_by(m, rt_onnx_input(add, 0), "ReduceMean");
    const rt_onnx_node *square = mean != NULL ? rt_onnx_maker(m, rt_onnx_input(mean, 0)) : NULL;
    const char *below;
    bool power = rt_onnx_is(square, "Pow") && rt_onnx_near(m, rt_onnx_input(square, 1), 2);
    bool product = rt_onnx_is(square, "Mul") && same(m, rt_onnx_input(square, 0), rt_onnx_input(square, 1));
    return (power || product) && last_axis(m, mean) && centred(m, rt_onnx_input(square, 0), &below) &&
           same(m, below, x);
}

static bool decomposed(rt_onnx_match *m, const rt_onnx_node *add, rt_onnx_norm *out) {
    for (size_t side = 0; side < 2; side++) {
        const rt_onnx_node *mul = rt_onnx_made_by(m, rt_onnx_input(add, side), "Mul");
        if (mul == NULL || !rt_onnx_weight_of(m, rt_onnx_input(add, 1 - side), &out->beta)) continue;
        bool first = rt_onnx_weight_of(m, rt_onnx_input(mul, 0), &out->gamma);
        if (!first && !rt_onnx_weight_of(m, rt_onnx_input(mul, 1), &out->gamma)) return false;
        const rt_onnx_node *div = rt_onnx_made_by(m, rt_onnx_input(mul, first ? 1 : 0), "Div");
        return div != NULL && centred(m, rt_onnx_input(div, 0), &out->x) &&
               deviation(m, rt_onnx_input(div, 1), out->x, out);
    }
    return false;
}

/* (x, skip, gamma, beta, bias) */
static bool skip(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_norm *out) {
    out->left = rt_onnx_input(node, 0);
    out->right = rt_onnx_input(node, 1);
    out->epsilon = rt_onnx_real(node, "epsilon", 1e-12f);
    return rt_onnx_weight_of(m, rt_onnx_input(node, 2), &out->gamma) &&
           rt_onnx_weight_of(m, rt_onnx_input(node, 3), &out->beta) &&
           (rt_onnx_input(node, 4)[0] == '\0' || rt_onnx_weight_of(m, rt_onnx_input(node, 4), &out->bias));
}

bool rt_onnx_match_norm(rt_onnx_match *m, const char *value, rt_onnx_norm *out) {
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    *out = (rt_onnx_norm){0};
    if (rt_onnx_is(node, "SkipLayerNormalization")) return skip(m, node, out);
    if (rt_onnx_is(node, "Add")) return decomposed(m, node, out);
    if (!rt_onnx_is(node, "LayerNormalization")) return false;
    int64_t axis = rt_onnx_int(node, "axis", -1);
    out->x = rt_onnx_input(node, 0);
    out->epsilon = rt_onnx_real(node, "epsilon", 1e-5f);
    return (axis == -1 || axis == 2) && rt_onnx_weight_of(m, rt_onnx_input(node, 1), &out->gamma) &&
           rt_onnx_weight_of(m, rt_onnx_input(node, 2), &out->beta);
}

/* ---- Activations ---- */

enum { MOST_FACTORS = 4 };
typedef struct factors {
    const char *values[MOST_FACTORS]; /* that are no scalars */
    size_t count;
    double scale;
} factors;

static void factor(const rt_onnx_match *m, const char *value, int depth, factors *out) {
    const rt_onnx_node *mul = depth > 0 ? rt_onnx_made_by(m, value, "Mul") : NULL;
    double number;
    if (rt_onnx_scalar(m, value, &number)) {
        out->scale *= number;
    } else if (mul != NULL) {
        factor(m, rt_onnx_input(mul, 0), depth - 1, out);
        factor(m, rt_onnx_input(mul, 1), depth - 1, out);
    } else if (out->count < MOST_FACTORS) {
        out->values[out->count++] = value;
    }
}

/* 1 + f(y): f's node */
static const rt_onnx_node *one_plus(const rt_onnx_match *m, const char *value) {
    const rt_onnx_node *add = rt_onnx_made_by(m, value, "Add");
    for (size_t side = 0; add != NULL && side < 2; side++) {
        if (rt_onnx_near(m, rt_onnx_input(add, side), 1))
            return rt_onnx_maker(m, rt_onnx_input(add, 1 - side));
    }
    return NULL;
}

/* x / √2 or x · √½ */
static bool over_root(const rt_onnx_match *m, const char *value, const char *x) {
    const rt_onnx_node *div = rt_onnx_made_by(m, value, "Div");
    if (div != NULL)
        return same(m, rt_onnx_input(div, 0), x) && rt_onnx_near(m, rt_onnx_input(div, 1), M_SQRT2);
    factors f = {.scale = 1};
    factor(m, value, 1, &f);
    return f.count == 1 && same(m, f.values[0], x) && fabs(f.scale - M_SQRT1_2) < 1e-3;
}

/* √(2/π) (x + 0.044715 x³); the cube is not taken apart */
static bool inner_cubic(const rt_onnx_match *m, const char *value, const char *x) {
    factors f = {.scale = 1}, cube = {.scale = 1};
    factor(m, value, 1, &f);
    const rt_onnx_node *add = f.count == 1 ? rt_onnx_made_by(m, f.values[0], "Add") : NULL;
    if (add == NULL || fabs(f.scale - sqrt(2 / M_PI)) > 1e-3) return false;
    bool first = same(m, rt_onnx_input(add, 0), x);
    if (!first && !same(m, rt_onnx_input(add, 1), x)) return false;
    factor(m, rt_onnx_input(add, first ? 1 : 0), 3, &cube);
    return fabs(cube.scale - 0.044715) < 1e-4;
}

static rt_act product_act(const rt_onnx_match *m, const char *value, const char **x) {
    factors f = {.scale = 1};
    factor(m, value, 3, &f);
    if (f.count != 2 || fabs(f.scale - 0.5) > 1e-6) return RT_FN_NONE;
    for (size_t side = 0; side < 2; side++) {
        const rt_onnx_node *inner = one_plus(m, f.values[side]);
        *x = f.values[1 - side];
        if (rt_onnx_is(inner, "Erf") && over_root(m, rt_onnx_input(inner, 0), *x)) return RT_FN_GELU;
        if (rt_onnx_is(inner, "Tanh") && inner_cubic(m, rt_onnx_input(inner, 0), *x)) return RT_FN_GELU_TANH;
    }
    return RT_FN_NONE;
}

rt_act rt_onnx_match_act(rt_onnx_match *m, const char *value, const char **x, rt_onnx_weight *bias) {
    static const struct {
        const char *op;
        rt_act act;
    } rows[] = {{"Gelu", RT_FN_GELU},
                {"BiasGelu", RT_FN_GELU},
                {"FastGelu", RT_FN_GELU_TANH},
                {"Relu", RT_FN_RELU},
                {"Tanh", RT_FN_TANH}};
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    *bias = (rt_onnx_weight){0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rt_onnx_is(node, rows[i].op)) continue;
        const rt_onnx_attr *how = rt_onnx_attribute(node, "approximate");
        *x = rt_onnx_input(node, 0);
        const char *added = rt_onnx_input(node, 1);
        if (added[0] != '\0' && !rt_onnx_weight_of(m, added, bias)) return RT_FN_NONE;
        return how != NULL && strcmp(how->text, "tanh") == 0 ? RT_FN_GELU_TANH : rows[i].act;
    }
    return rt_onnx_is(node, "Mul") ? product_act(m, value, x) : RT_FN_NONE;
}
