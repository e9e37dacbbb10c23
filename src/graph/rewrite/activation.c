/* SPDX-License-Identifier: Apache-2.0
 * Level 2: the activation after a Linear, spelled out in plain operators, becomes its attribute. */
#include "graph/match.h"

#include <math.h>

/* A product of values and scalars. */
typedef struct product {
    int factors[4]; /* a power n counts as n factors */
    int count;      /* 5: too many */
    int reads;      /* node inputs that read the factors */
    double scale;
} product;

static void multiply(product *p, int value, int times) {
    for (int i = 0; i < times && p->count <= 4; i++) {
        if (p->count < 4) p->factors[p->count] = value;
        p->count++;
    }
    p->reads++;
}

/* Nothing else may read values inside the pattern: after the edit, x is no longer what other readers
 * expect. */
static bool is_inner(const rt_graph *graph, int value) {
    return rt_only_reader(graph, value) >= 0;
}

/* Collects the factors of a value through at most `depth` levels of nodes. */
static void collect(const rt_graph *graph, int value, int depth, product *p) {
    double scalar;
    int x;
    const rt_node *mul = rt_made_by(graph, value, RT_OP_MUL);
    if (rt_scalar(graph, value, &scalar)) {
        p->scale *= scalar;
    } else if (depth < 4 && !is_inner(graph, value)) {
        multiply(p, value, 1);
    } else if (depth > 0 && mul != NULL) {
        int left = mul->inputs[0], right = mul->inputs[1];
        collect(graph, left, depth - 1, p);
        collect(graph, right, depth - 1, p);
    } else if (depth > 0 && rt_with_scalar(graph, value, RT_OP_DIV, &x, &scalar)) {
        p->scale /= scalar;
        collect(graph, x, depth - 1, p);
    } else if (rt_with_scalar(graph, value, RT_OP_POW, &x, &scalar) && (scalar == 2 || scalar == 3)) {
        multiply(p, x, (int)scalar);
    } else {
        multiply(p, value, 1);
    }
}

static product factors_of(const rt_graph *graph, int value) {
    product p = {.scale = 1};
    collect(graph, value, 4, &p);
    return p;
}

static bool near(double found, double want) {
    return fabs(found - want) <= want * 1e-3;
}

/* Whether value is x times `scale`; adds to *reads how often x is read for it. */
static bool is_scaled(const rt_graph *graph, int value, int x, double scale, int *reads) {
    product p = factors_of(graph, value);
    *reads += p.reads;
    return is_inner(graph, value) && p.count == 1 && p.factors[0] == x && near(p.scale, scale);
}

/* Whether value is √(2/π) (x + 0.044715 x³). */
static bool is_gelu_tanh_inner(const rt_graph *graph, int value, int x, int *reads) {
    product outer = factors_of(graph, value);
    const rt_node *sum = outer.count == 1 ? rt_made_by(graph, outer.factors[0], RT_OP_ADD) : NULL;
    if (sum == NULL || !is_inner(graph, value) || !is_inner(graph, outer.factors[0]) ||
        !near(outer.scale, sqrt(2 / M_PI)))
        return false;
    for (int k = 0; k < 2; k++) {
        product cubic = factors_of(graph, sum->inputs[1 - k]);
        if (sum->inputs[k] != x || !is_inner(graph, sum->inputs[1 - k]) || cubic.count != 3 ||
            !near(cubic.scale, 0.044715))
            continue;
        *reads += 1 + cubic.reads;
        return cubic.factors[0] == x && cubic.factors[1] == x && cubic.factors[2] == x;
    }
    return false;
}

/* Matches the value as an activation of x: x/2 (1 + f(x)). Only if x has no other reader. */
static rt_act gelu_of(const rt_graph *graph, int value, int *x) {
    product p = factors_of(graph, value);
    if (p.count != 2 || !near(p.scale, 0.5)) return RT_FN_NONE;
    for (int k = 0; k < 2; k++) {
        double one;
        int inner, reads = 1;
        *x = p.factors[1 - k];
        if (!rt_with_scalar(graph, p.factors[k], RT_OP_ADD, &inner, &one) || one != 1 ||
            !is_inner(graph, p.factors[k]) || !is_inner(graph, inner))
            continue;
        const rt_node *erf = rt_made_by(graph, inner, RT_OP_ERF),
                      *tanh = rt_made_by(graph, inner, RT_OP_TANH);
        rt_act act = RT_FN_NONE;
        if (erf != NULL && is_scaled(graph, erf->inputs[0], *x, sqrt(0.5), &reads)) act = RT_FN_GELU;
        if (tanh != NULL && is_gelu_tanh_inner(graph, tanh->inputs[0], *x, &reads)) act = RT_FN_GELU_TANH;
        if (rt_value_uses(graph, *x) == (size_t)reads) return act;
    }
    return RT_FN_NONE;
}

/* The activation that ends in this node, and its operand. */
static rt_act activation_of(const rt_graph *graph, const rt_node *node, int *x) {
    *x = node->inputs[0];
    if (node->op == RT_OP_RELU && rt_value_uses(graph, *x) == 1) return RT_FN_RELU;
    if (node->op == RT_OP_TANH && rt_value_uses(graph, *x) == 1) return RT_FN_TANH;
    for (int k = 0; node->op == RT_OP_MUL && k < 2; k++) {
        const rt_node *sigmoid = rt_made_by(graph, node->inputs[k], RT_OP_SIGMOID);
        *x = node->inputs[1 - k];
        if (sigmoid != NULL && sigmoid->inputs[0] == *x && is_inner(graph, node->inputs[k]) &&
            rt_value_uses(graph, *x) == 2)
            return RT_FN_SILU;
    }
    return node->op == RT_OP_MUL ? gelu_of(graph, node->outputs[0], x) : RT_FN_NONE;
}

static bool take_activation(rt_graph *graph, int index) {
    rt_linear_match linear;
    int x;
    rt_act act = activation_of(graph, &graph->nodes[index], &x);
    if (act == RT_FN_NONE || !rt_match_linear(graph, x, &linear) || linear.act != RT_FN_NONE ||
        linear.residual >= 0)
        return false;
    graph->nodes[linear.node].attrs.act = act;
    rt_value_replace(graph, graph->nodes[index].outputs[0], x);
    return true;
}

retort_status rt_rewrite_fuse_activation(rt_graph *graph, size_t *count, retort_error *err) {
    return rt_rewrite_each(graph, take_activation, count, err);
}
