/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/normalize.h"

#include <stdlib.h>
#include <string.h>

/* One row per operator on integers. Its inputs come in threes: codes, scale, zero point. A bias in 32 bits may
 * follow, whose scale is the product of the two before; then the scale and zero point of the output. */
typedef struct form {
    const char *op, *plain;
    size_t operands;
    bool bias;
} form;

static const form forms[] = {
    {"QLinearMatMul", "MatMul", 2, false},   {"QLinearAdd", "Add", 2, false}, {"QLinearMul", "Mul", 2, false},
    {"QLinearSoftmax", "Softmax", 1, false}, {"QGemm", "Gemm", 2, true},
};

/* Operators that move codes and leave them as they are. */
static const char *const movers[] = {"Gather",    "Reshape", "Transpose", "Squeeze",
                                     "Unsqueeze", "Slice",   "Identity"};

typedef struct rewrite {
    rt_onnx *onnx;
    rt_onnx_node *nodes; /* in place of onnx->nodes */
    size_t count, capacity;
    rt_names floats;  /* values that were codes and are floats now -> the node that makes them */
    rt_names tensors; /* initializer -> its index */
} rewrite;

static const form *form_of(const rt_onnx_node *node) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(node->op, forms[i].op) == 0) return &forms[i];
    }
    return NULL;
}

static bool moves(const rt_onnx_node *node) {
    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++) {
        if (strcmp(node->op, movers[i]) == 0) return true;
    }
    return false;
}

static const char *input(const rt_onnx_node *node, size_t index) {
    return index < node->input_count ? node->inputs[index] : "";
}

/* The node that makes the floats that were codes; -1: the value is still what it was. */
static int float_maker(const rewrite *r, const char *value) {
    return rt_names_find(&r->floats, value, strlen(value));
}

/* A name that nothing has yet, unless a file means to: then it is made twice, and refused. */
static const char *name_after(rewrite *r, const char *value, const char *what) {
    rt_buffer text = {0};
    rt_buffer_format(&text, "%s/%s/%zu", value, what, r->count);
    const char *name = text.failed ? NULL : rt_arena_text(&r->onnx->arena, text.data, text.length);
    rt_buffer_free(&text);
    return name;
}

/* Appends op(inputs) -> output; false when out of memory. */
static bool append(rewrite *r, const rt_onnx_node *from, const char *op, size_t input_count,
                   const char *const *inputs, const char *output) {
    const char **texts = rt_arena_calloc(&r->onnx->arena, input_count + 1, sizeof *texts);
    if (texts == NULL || output == NULL ||
        !rt_grow((void **)&r->nodes, &r->capacity, r->count + 1, sizeof *r->nodes))
        return false;
    for (size_t i = 0; i < input_count; i++) {
        if (inputs[i] == NULL) return false;
        texts[i] = inputs[i];
    }
    texts[input_count] = output;
    r->nodes[r->count++] = (rt_onnx_node){.op = op,
                                          .domain = "",
                                          .name = from->name,
                                          .inputs = texts,
                                          .input_count = input_count,
                                          .outputs = &texts[input_count],
                                          .output_count = 1};
    return true;
}

/* Rounds `value` and gives the result the name `output`, which meant its codes. */
static bool append_rounding(rewrite *r, const rt_onnx_node *from, const char *value, const char *scale,
                            const char *zero, const char *output) {
    const char *codes = name_after(r, output, "codes");
    return append(r, from, "QuantizeLinear", 3, (const char *[]){value, scale, zero}, codes) &&
           append(r, from, "DequantizeLinear", 3, (const char *[]){codes, scale, zero}, output) &&
           rt_names_put(&r->floats, output, (int)r->count - 1);
}

static const rt_onnx_tensor *tensor_of(const rewrite *r, const char *value) {
    int index = rt_names_find(&r->tensors, value, strlen(value));
    return index >= 0 ? &r->onnx->tensors[index] : NULL;
}

/* The codes as floats: their own name when they are, else that of a new DequantizeLinear along `axis`. */
static const char *operand(rewrite *r, const rt_onnx_node *from, const char *codes, const char *scale,
                           const char *zero, int64_t axis) {
    if (float_maker(r, codes) >= 0) return codes;
    const char *name = name_after(r, codes, "float");
    rt_onnx_attr *attr = rt_arena_calloc(&r->onnx->arena, 1, sizeof *attr);
    if (attr == NULL || !append(r, from, "DequantizeLinear", 3, (const char *[]){codes, scale, zero}, name))
        return NULL;
    *attr = (rt_onnx_attr){.name = "axis", .kind = RT_ONNX_ATTR_INT, .i = axis};
    r->nodes[r->count - 1].attrs = attr;
    r->nodes[r->count - 1].attr_count = 1;
    return name;
}

/* The name of a new constant, one scale times another; "" when they are not that, NULL: out of memory. */
static const char *product(rewrite *r, const char *one, const char *many) {
    const rt_onnx_tensor *a = tensor_of(r, one), *b = tensor_of(r, many);
    size_t count;
    float factor;
    if (a == NULL || b == NULL || a->type != RT_ONNX_FLOAT || a->bytes != sizeof factor ||
        b->type != RT_ONNX_FLOAT || b->rank > 1 || !rt_shape_count(b->dims, b->rank, &count))
        return "";
    rt_onnx_tensor scale = *b;
    float *data = rt_arena_calloc(&r->onnx->arena, count, sizeof *data);
    scale.name = name_after(r, many, "product");
    if (data == NULL || scale.name == NULL) return NULL;
    memcpy(&factor, a->data, sizeof factor);
    memcpy(data, b->data, count * sizeof *data);
    for (size_t i = 0; i < count; i++) data[i] *= factor;
    scale.data = data;
    rt_onnx_tensor *added = rt_onnx_add_tensor(r->onnx);
    if (added == NULL) return NULL;
    *added = scale;
    return scale.name;
}

static int64_t axis_of(const rt_onnx_node *node) {
    const rt_onnx_attr *turned = rt_onnx_attribute(node, "transB");
    return turned != NULL && turned->i != 0 ? 0 : 1;
}

static bool expand(rewrite *r, const rt_onnx_node *node, const form *how) {
    const char *inputs[3];
    size_t count = how->operands, out = 3 * how->operands + (how->bias ? 1 : 0);
    for (size_t i = 0; i < how->operands; i++) {
        inputs[i] = operand(r, node, input(node, 3 * i), input(node, 3 * i + 1), input(node, 3 * i + 2),
                            axis_of(node));
    }
    if (how->bias && input(node, out - 1)[0] != '\0') {
        const char *scale = product(r, input(node, 1), input(node, 4));
        inputs[count++] = scale != NULL ? operand(r, node, input(node, out - 1), scale, "", 0) : NULL;
    }
    bool rounds = input(node, out)[0] != '\0';
    const char *value = rounds ? name_after(r, node->outputs[0], "value") : node->outputs[0];
    if (!append(r, node, how->plain, count, inputs, value)) return false;
    r->nodes[r->count - 1].attrs = node->attrs;
    r->nodes[r->count - 1].attr_count = node->attr_count;
    return !rounds ||
           append_rounding(r, node, value, input(node, out), input(node, out + 1), node->outputs[0]);
}

/* DequantizeLinear of codes that are floats already: what made them, where that is another DequantizeLinear, so
 * that both are seen to be of the same codes. */
static bool append_again(rewrite *r, const rt_onnx_node *node, int maker) {
    const rt_onnx_node *made = &r->nodes[maker];
    bool again = strcmp(made->op, "DequantizeLinear") == 0;
    return append(r, node, again ? made->op : "Identity", again ? made->input_count : 1,
                  again ? made->inputs : node->inputs, node->outputs[0]);
}

/* Appends what becomes of the node. */
static bool take(rewrite *r, const rt_onnx_node *node) {
    const form *how = form_of(node);
    bool one = node->output_count == 1 && node->input_count > 0;
    if (how != NULL && one) return expand(r, node, how);
    if (one && strcmp(node->op, "QuantizeLinear") == 0 && node->input_count >= 2) {
        return append_rounding(r, node, input(node, 0), input(node, 1), input(node, 2), node->outputs[0]);
    }
    int maker = one && r->nodes != NULL ? float_maker(r, input(node, 0)) : -1;
    if (maker >= 0 && strcmp(node->op, "DequantizeLinear") == 0) return append_again(r, node, maker);
    if (!rt_grow((void **)&r->nodes, &r->capacity, r->count + 1, sizeof *r->nodes)) return false;
    r->nodes[r->count++] = *node;
    return maker < 0 || !moves(node) || rt_names_put(&r->floats, node->outputs[0], (int)r->count - 1);
}

retort_status rt_onnx_normalize(rt_onnx *onnx, retort_error *err) {
    rewrite r = {.onnx = onnx};
    bool any = false, done = true;
    for (size_t i = 0; !any && i < onnx->node_count; i++) any = form_of(&onnx->nodes[i]) != NULL;
    if (!any) return RETORT_OK;
    for (size_t i = 0; done && i < onnx->tensor_count; i++) {
        done = rt_names_put(&r.tensors, onnx->tensors[i].name, (int)i);
    }
    for (size_t i = 0; done && i < onnx->node_count; i++) done = take(&r, &onnx->nodes[i]);
    rt_names_free(&r.floats);
    rt_names_free(&r.tensors);
    if (!done) {
        free(r.nodes);
        return rt_fail_nomem(err, sizeof *r.nodes);
    }
    free(onnx->nodes);
    onnx->nodes = r.nodes;
    onnx->node_count = r.count;
    onnx->node_capacity = r.capacity;
    return RETORT_OK;
}
