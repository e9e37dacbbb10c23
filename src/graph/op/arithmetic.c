/* SPDX-License-Identifier: Apache-2.0
 * Add, Sub, Mul, Div, Pow and Max of two values that broadcast. Integers wrap round. */
#include "graph/evaluate.h"
#include "graph/infer.h"

#include <math.h>
#include <string.h>

static float add(float a, float b) {
    return a + b;
}
static float sub(float a, float b) {
    return a - b;
}
static float mul(float a, float b) {
    return a * b;
}
static float divide(float a, float b) {
    return a / b;
}
static int64_t add_int(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}
static int64_t sub_int(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a - (uint64_t)b);
}
static int64_t mul_int(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a * (uint64_t)b);
}
static int64_t divide_int(int64_t a, int64_t b) { /* b is not 0 */
    return b == -1 ? sub_int(0, a) : a / b;
}
static int64_t greater_int(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* One row per binary operator. */
static const struct {
    float (*real)(float, float);
    int64_t (*integer)(int64_t, int64_t);
} binaries[RT_OP_COUNT] = {
    [RT_OP_ADD] = {add, add_int},       [RT_OP_SUB] = {sub, sub_int}, [RT_OP_MUL] = {mul, mul_int},
    [RT_OP_DIV] = {divide, divide_int}, [RT_OP_POW] = {powf, NULL},   [RT_OP_MAX] = {rt_greater, greater_int},
};

/* The content of what is computed from two known ones, of whose elements none is a symbol. */
static void arithmetic_content(rt_shapes *s) {
    const rt_content *a = &s->in[0]->content, *b = &s->in[1]->content;
    int count = rt_content_count(&s->out[0], a, b);
    rt_content made = {.known = count >= 0, .count = count};
    for (int i = 0; made.known && i < count; i++) {
        int64_t x, y;
        made.known = rt_content_number(s->in[0], rt_content_at(a, i), &x) &&
                     rt_content_number(s->in[1], rt_content_at(b, i), &y) &&
                     (s->node->op != RT_OP_DIV || y != 0);
        if (made.known) made.at[i] = binaries[s->node->op].integer(x, y);
    }
    if (made.known) s->out[0].content = made;
}

static retort_status infer_arithmetic(rt_shapes *s) {
    retort_dtype dtype = s->in[0]->dtype;
    if (dtype != s->in[1]->dtype || (dtype != RETORT_F32 && dtype != RETORT_I64)) {
        return rt_fail(s->err, RETORT_FORMAT, "expected two f32 or two i64");
    }
    rt_out_like(s, 0, s->in[0]);
    s->out[0].content = (rt_content){0};
    retort_status status = rt_broadcast_with(s, s->in[1]);
    if (status == RETORT_OK && dtype == RETORT_I64) arithmetic_content(s);
    return status;
}

static retort_status infer_pow(rt_shapes *s) {
    return s->in[0]->dtype == RETORT_F32 ? infer_arithmetic(s) : rt_not_float(s);
}

static void binary_row(const rt_row *row) {
    float (*apply)(float, float) = binaries[row->e->node->op].real;
    float *out = (float *)(void *)row->out;
    for (size_t i = 0; i < row->n; i++) {
        float a, b;
        memcpy(&a, row->in[0] + (int64_t)i * row->step[0], sizeof a);
        memcpy(&b, row->in[1] + (int64_t)i * row->step[1], sizeof b);
        out[i] = apply(a, b);
    }
}

static void binary_int_row(const rt_row *row) {
    int64_t (*apply)(int64_t, int64_t) = binaries[row->e->node->op].integer;
    int64_t *out = (int64_t *)(void *)row->out;
    for (size_t i = 0; i < row->n; i++) {
        int64_t a, b;
        memcpy(&a, row->in[0] + (int64_t)i * row->step[0], sizeof a);
        memcpy(&b, row->in[1] + (int64_t)i * row->step[1], sizeof b);
        out[i] = apply(a, b);
    }
}

static retort_status evaluate_binary(rt_op_evaluation *e, retort_error *err) {
    const rt_tensor *b = e->inputs[1];
    if (b->dtype == RETORT_F32) {
        rt_each_broadcast(e, 2, binary_row);
        return RETORT_OK;
    }
    for (size_t i = 0; e->node->op == RT_OP_DIV && i < rt_tensor_count(b); i++) {
        if (((const int64_t *)b->data)[i] != 0) continue;
        return rt_fail(err, RETORT_ARGUMENT, "%.200s: division by zero", e->node->name);
    }
    rt_each_broadcast(e, 2, binary_int_row);
    return RETORT_OK;
}

/* Whether the second input is the number `neutral`, and does not broadcast the first. */
static bool is_neutral(const rt_graph *graph, const rt_node *node, int64_t neutral) {
    const rt_value *b = &graph->values[node->inputs[1]];
    size_t count;
    if (!rt_value_is_constant(b) || b->data == NULL || !rt_shape_count(b->dims, b->rank, &count) ||
        count != 1 || !rt_node_keeps_dims(graph, node))
        return false;
    if (b->dtype == RETORT_F32) return *(const float *)b->data == (float)neutral;
    return b->dtype == RETORT_I64 && *(const int64_t *)b->data == neutral;
}

static bool is_by_one(const rt_graph *graph, const rt_node *node) {
    return is_neutral(graph, node, 1);
}

static bool is_plus_zero(const rt_graph *graph, const rt_node *node) {
    return is_neutral(graph, node, 0);
}

const rt_op_row rt_op_add = {
    .text = "Add",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_arithmetic,
    .evaluate = evaluate_binary,
    .is_identity = is_plus_zero,
};
const rt_op_row rt_op_sub = {
    .text = "Sub",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_arithmetic,
    .evaluate = evaluate_binary,
    .is_identity = is_plus_zero,
};
const rt_op_row rt_op_mul = {
    .text = "Mul",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_arithmetic,
    .evaluate = evaluate_binary,
    .is_identity = is_by_one,
};
const rt_op_row rt_op_div = {
    .text = "Div",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_arithmetic,
    .evaluate = evaluate_binary,
    .is_identity = is_by_one,
};
const rt_op_row rt_op_pow = {
    .text = "Pow",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_pow,
    .evaluate = evaluate_binary,
};
const rt_op_row rt_op_max = {
    .text = "Max",
    .min_inputs = 2,
    .max_inputs = 2,
    .outputs = 1,
    .infer = infer_arithmetic,
    .evaluate = evaluate_binary,
};
