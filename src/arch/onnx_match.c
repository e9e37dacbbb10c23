/* SPDX-License-Identifier: Apache-2.0
 * Nodes, constants and scalars of an ONNX graph that is walked from its output. */
#include "arch/onnx_match.h"

#include <math.h>

enum { MOST_STEPS = 64 }; /* of nodes in a row that change nothing, so that a cycle of them ends */

static retort_status misfit(const rt_onnx_match *m) {
    char found[96], of[96];
    return rt_fail(m->err, RETORT_FORMAT,
                   "%.160s: tensor '%.80s' %s: no scale or zero point of '%.80s' %s along its axis", m->file,
                   m->misfit->name, rt_shape_text(found, sizeof found, m->misfit->dims, m->misfit->rank),
                   m->misfit_of->name, rt_shape_text(of, sizeof of, m->misfit_of->dims, m->misfit_of->rank));
}

bool rt_onnx_refuse(rt_onnx_match *m, const char *value, const char *expected) {
    if (m->status != RETORT_OK) return false;
    int index = rt_names_find(&m->made, value, strlen(value));
    if (m->misfit != NULL) {
        m->status = misfit(m);
    } else if (index < 0) {
        m->status =
            rt_fail(m->err, RETORT_UNSUPPORTED, "%.200s: '%.120s': expected %s", m->file, value, expected);
    } else {
        const rt_onnx_node *node = &m->onnx->nodes[index];
        m->status =
            rt_fail(m->err, RETORT_UNSUPPORTED, "%.160s: node '%.100s' (%.60s%s%.40s): expected %s", m->file,
                    node->name, node->domain, node->domain[0] != '\0' ? "." : "", node->op, expected);
    }
    return false;
}

bool rt_onnx_no_memory(rt_onnx_match *m) {
    if (m->status == RETORT_OK) m->status = rt_fail_nomem(m->err, sizeof(rt_onnx_weight));
    return false;
}

static const rt_onnx_node *direct_maker(const rt_onnx_match *m, const char *value) {
    int index = rt_names_find(&m->made, value, strlen(value));
    return index >= 0 ? &m->onnx->nodes[index] : NULL;
}

bool rt_onnx_is(const rt_onnx_node *node, const char *op) {
    return node != NULL && strcmp(node->op, op) == 0;
}

const char *rt_onnx_input(const rt_onnx_node *node, size_t index) {
    return index < node->input_count ? node->inputs[index] : "";
}

bool rt_onnx_is_embed(const rt_onnx_node *node) {
    return rt_onnx_is(node, "EmbedLayerNormalization") || rt_onnx_is(node, "QEmbedLayerNormalization");
}

int64_t rt_onnx_int(const rt_onnx_node *node, const char *attr, int64_t otherwise) {
    const rt_onnx_attr *found = rt_onnx_attribute(node, attr);
    return found != NULL && found->kind == RT_ONNX_ATTR_INT ? found->i : otherwise;
}

float rt_onnx_real(const rt_onnx_node *node, const char *attr, float otherwise) {
    const rt_onnx_attr *found = rt_onnx_attribute(node, attr);
    return found != NULL && found->kind == RT_ONNX_ATTR_FLOAT ? found->f : otherwise;
}

static bool changes_nothing(const rt_onnx_node *node) {
    int64_t to = rt_onnx_is(node, "Cast") ? rt_onnx_int(node, "to", 0) : 0;
    return rt_onnx_is(node, "Identity") || rt_onnx_is(node, "Dropout") || to == RT_ONNX_FLOAT ||
           to == RT_ONNX_FLOAT16 || to == RT_ONNX_BFLOAT16 || to == RT_ONNX_DOUBLE;
}

const char *rt_onnx_rounding(const rt_onnx_match *m, const char *value) {
    const rt_onnx_node *node = direct_maker(m, value);
    if (!rt_onnx_is(node, "DequantizeLinear")) return NULL;
    return rt_onnx_is(direct_maker(m, rt_onnx_input(node, 0)), "QuantizeLinear") ? rt_onnx_input(node, 0)
                                                                                 : NULL;
}

const char *rt_onnx_unrounded(const rt_onnx_match *m, const char *value) {
    const char *codes = rt_onnx_rounding(m, value);
    return codes != NULL ? rt_onnx_input(direct_maker(m, codes), 0) : value;
}

const rt_onnx_node *rt_onnx_maker(const rt_onnx_match *m, const char *value) {
    for (int i = 0; value != NULL && i < MOST_STEPS; i++) {
        const rt_onnx_node *node = direct_maker(m, value);
        const char *below = rt_onnx_unrounded(m, value);
        if (node == NULL || (below == value && !changes_nothing(node))) return node;
        value = below != value ? below : rt_onnx_input(node, 0);
    }
    return NULL;
}

const rt_onnx_node *rt_onnx_made_by(const rt_onnx_match *m, const char *value, const char *op) {
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    return rt_onnx_is(node, op) ? node : NULL;
}

bool rt_onnx_is_input(const rt_onnx_match *m, const char *value, const char *name) {
    for (int i = 0; i < MOST_STEPS; i++) {
        if (strcmp(value, name) == 0) return true;
        const rt_onnx_node *node = rt_onnx_maker(m, value);
        if (!rt_onnx_is(node, "Cast")) return false;
        value = rt_onnx_input(node, 0);
    }
    return false;
}

/* ---- Constants ---- */

static const rt_onnx_tensor *initializer(const rt_onnx_match *m, const char *value) {
    int index = rt_names_find(&m->tensors, value, strlen(value));
    return index >= 0 ? &m->onnx->tensors[index] : NULL;
}

const rt_onnx_tensor *rt_onnx_constant(const rt_onnx_match *m, const char *value) {
    for (int i = 0; i < MOST_STEPS; i++) {
        const rt_onnx_tensor *tensor = initializer(m, value);
        if (tensor != NULL) return tensor;
        const rt_onnx_node *node = direct_maker(m, value);
        const rt_onnx_attr *given = rt_onnx_is(node, "Constant") ? rt_onnx_attribute(node, "value") : NULL;
        if (given != NULL) return given->tensor;
        if (!rt_onnx_is(node, "Identity")) return NULL;
        value = rt_onnx_input(node, 0);
    }
    return NULL;
}

/* The number of a tensor with one element. */
static bool one_number(const rt_onnx_tensor *tensor, double *out) {
    size_t count;
    float value = 0;
    int64_t integer = 0;
    retort_dtype dtype;
    if (tensor == NULL || !rt_shape_count(tensor->dims, tensor->rank, &count) || count != 1) return false;
    if (tensor->type == RT_ONNX_DOUBLE) {
        memcpy(out, tensor->data, sizeof *out);
        return true;
    }
    if (tensor->type == RT_ONNX_INT64) memcpy(&integer, tensor->data, sizeof integer);
    *out = (double)integer;
    if (tensor->type == RT_ONNX_INT64) return true;
    if (!rt_onnx_dtype(tensor->type, &dtype) || !rt_to_f32(&value, tensor->data, dtype, 1)) return false;
    *out = value;
    return true;
}

/* The number that a Constant node has as an attribute of its own. */
static bool plain_number(const rt_onnx_match *m, const char *value, double *out) {
    const rt_onnx_node *node = direct_maker(m, value);
    if (!rt_onnx_is(node, "Constant")) return false;
    const rt_onnx_attr *real = rt_onnx_attribute(node, "value_float"),
                       *whole = rt_onnx_attribute(node, "value_int");
    if (real != NULL) *out = real->f;
    if (whole != NULL) *out = (double)whole->i;
    return real != NULL || whole != NULL;
}

/* DequantizeLinear of a constant with one element. */
static bool rounded_number(const rt_onnx_match *m, const char *value, double *out) {
    const rt_onnx_node *node = direct_maker(m, value);
    if (!rt_onnx_is(node, "DequantizeLinear")) return false;
    const rt_onnx_tensor *codes = rt_onnx_constant(m, rt_onnx_input(node, 0));
    const rt_onnx_tensor *zero = rt_onnx_constant(m, rt_onnx_input(node, 2));
    size_t count;
    double scale;
    if (!rt_onnx_is_integer(codes) || !one_number(rt_onnx_constant(m, rt_onnx_input(node, 1)), &scale) ||
        !rt_shape_count(codes->dims, codes->rank, &count) || count != 1)
        return false;
    if (zero != NULL &&
        (!rt_onnx_is_integer(zero) || !rt_shape_count(zero->dims, zero->rank, &count) || count != 1))
        return false;
    *out = (double)(rt_onnx_element(codes, 0) - (zero != NULL ? rt_onnx_element(zero, 0) : 0)) * scale;
    return true;
}

/* torch's older exports compute √d: the last dim of the heads' shape, cast, and its roots. */
static bool computed(const rt_onnx_match *m, const char *value, int depth, double *out);

static bool operand(const rt_onnx_match *m, const rt_onnx_node *node, size_t index, int depth, double *out) {
    const char *value = rt_onnx_unrounded(m, rt_onnx_input(node, index));
    return one_number(rt_onnx_constant(m, value), out) || plain_number(m, value, out) ||
           rounded_number(m, value, out) || (depth > 0 && computed(m, value, depth - 1, out));
}

static bool computed(const rt_onnx_match *m, const char *value, int depth, double *out) {
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    double left, right;
    if ((rt_onnx_is(node, "Slice") || rt_onnx_is(node, "Gather")) &&
        rt_onnx_made_by(m, rt_onnx_input(node, 0), "Shape") != NULL) {
        int64_t dim = m->config->hidden / m->config->heads;
        *out = (double)dim;
        return operand(m, node, 1, 0, &left) && (left == -1 || left == 3);
    }
    if (rt_onnx_is(node, "Sqrt") && operand(m, node, 0, depth, &left)) return *out = sqrt(left), true;
    if (rt_onnx_is(node, "Reciprocal") && operand(m, node, 0, depth, &left)) return *out = 1 / left, true;
    bool both = node != NULL && operand(m, node, 0, depth, &left) && operand(m, node, 1, depth, &right);
    if (both && rt_onnx_is(node, "Div")) return *out = left / right, true;
    if (both && rt_onnx_is(node, "Mul")) return *out = left * right, true;
    return both && rt_onnx_is(node, "Pow") ? (*out = pow(left, right), true) : false;
}

bool rt_onnx_scalar(const rt_onnx_match *m, const char *value, double *out) {
    enum { DEPTH = 8 };
    value = rt_onnx_unrounded(m, value);
    return one_number(rt_onnx_constant(m, value), out) || plain_number(m, value, out) ||
           rounded_number(m, value, out) || computed(m, value, DEPTH, out);
}

bool rt_onnx_near(const rt_onnx_match *m, const char *value, double expected) {
    double number;
    return rt_onnx_scalar(m, value, &number) && fabs(number - expected) <= 1e-3 * fabs(expected);
}
