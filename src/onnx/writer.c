/* SPDX-License-Identifier: Apache-2.0
 * Nodes and initializers of an ONNX model that is being written. */
#include "onnx/writer.h"

#include <float.h>
#include <stdio.h>

void rt_put_fail(rt_onnx_writer *w, size_t bytes) {
    if (w->failed == RETORT_OK) w->failed = rt_fail_nomem(w->err, bytes);
}

void *rt_put_alloc(rt_onnx_writer *w, size_t count, size_t size) {
    void *out = w->failed == RETORT_OK ? rt_arena_calloc(&w->onnx->arena, count, size) : NULL;
    if (out == NULL) rt_put_fail(w, count * size);
    return out;
}

const char *rt_put_name(rt_onnx_writer *w, const char *leaf) {
    size_t length = strlen(w->scope) + strlen(leaf) + 2;
    char *out = rt_put_alloc(w, length, 1);
    if (out == NULL) return "";
    snprintf(out, length, "%s/%s", w->scope, leaf);
    return out;
}

rt_onnx_node *rt_put_node(rt_onnx_writer *w, const char *op, const char *leaf, size_t count,
                          const char *const *inputs, size_t attr_count, const rt_onnx_attr *attrs) {
    static rt_onnx_node nowhere;
    rt_onnx_node *node = w->failed == RETORT_OK ? rt_onnx_add_node(w->onnx) : NULL;
    if (node == NULL) rt_put_fail(w, sizeof *node);
    const char **in = rt_put_alloc(w, count, sizeof *in);
    rt_onnx_attr *copies = rt_put_alloc(w, attr_count, sizeof *copies);
    if (w->failed != RETORT_OK) return node != NULL ? node : &nowhere;
    while (count > 0 && (inputs[count - 1] == NULL || inputs[count - 1][0] == '\0')) count--;
    for (size_t i = 0; i < count; i++) in[i] = inputs[i] != NULL ? inputs[i] : "";
    if (attr_count > 0) memcpy(copies, attrs, attr_count * sizeof *attrs);
    *node = (rt_onnx_node){.op = op,
                           .domain = "",
                           .name = rt_put_name(w, leaf),
                           .inputs = in,
                           .input_count = count,
                           .attrs = copies,
                           .attr_count = attr_count};
    for (size_t i = 0; i < attr_count; i++) {
        if (copies[i].kind != RT_ONNX_ATTR_INTS) continue;
        int64_t *ints = rt_put_alloc(w, copies[i].count, sizeof *ints);
        if (ints != NULL) memcpy(ints, copies[i].ints, copies[i].count * sizeof *ints);
        copies[i].ints = ints;
    }
    return node;
}

/* The node's only output has its name. */
static const char *only_output(rt_onnx_writer *w, rt_onnx_node *node) {
    const char **out = rt_put_alloc(w, 1, sizeof *out);
    if (out == NULL) return "";
    out[0] = node->name;
    node->outputs = out;
    node->output_count = 1;
    return node->name;
}

const char *rt_put(rt_onnx_writer *w, const char *op, const char *leaf, size_t count,
                   const char *const *inputs, size_t attr_count, const rt_onnx_attr *attrs) {
    return only_output(w, rt_put_node(w, op, leaf, count, inputs, attr_count, attrs));
}

const char *rt_put1(rt_onnx_writer *w, const char *op, const char *leaf, const char *x) {
    return rt_put(w, op, leaf, 1, &x, 0, NULL);
}

const char *rt_put2(rt_onnx_writer *w, const char *op, const char *leaf, const char *x, const char *y) {
    return rt_put(w, op, leaf, 2, (const char *[]){x, y}, 0, NULL);
}

const char *rt_put_microsoft(rt_onnx_writer *w, const char *op, const char *leaf, size_t count,
                             const char *const *inputs, size_t attr_count, const rt_onnx_attr *attrs) {
    rt_onnx_node *node = rt_put_node(w, op, leaf, count, inputs, attr_count, attrs);
    const char *out = only_output(w, node);
    if (w->failed == RETORT_OK) node->domain = RT_ONNX_MICROSOFT;
    w->microsoft = true;
    return out;
}

/* ---- Initializers ---- */

const char *rt_put_named(rt_onnx_writer *w, const char *name, rt_onnx_type type, int rank,
                         const int64_t *dims, const void *data, size_t bytes) {
    rt_onnx_tensor *tensor = w->failed == RETORT_OK ? rt_onnx_add_tensor(w->onnx) : NULL;
    if (tensor == NULL) {
        rt_put_fail(w, sizeof *tensor);
        return "";
    }
    *tensor = (rt_onnx_tensor){.name = name, .type = type, .rank = rank, .data = data, .bytes = bytes};
    if (rank > 0) memcpy(tensor->dims, dims, (size_t)rank * sizeof *dims);
    return tensor->name;
}

const char *rt_put_tensor(rt_onnx_writer *w, const char *leaf, rt_onnx_type type, int rank,
                          const int64_t *dims, const void *data, size_t bytes) {
    return rt_put_named(w, rt_put_name(w, leaf), type, rank, dims, data, bytes);
}

const char *rt_put_scalar(rt_onnx_writer *w, const char *leaf, float value) {
    float *data = rt_put_alloc(w, 1, sizeof *data);
    if (data != NULL) *data = value;
    return rt_put_tensor(w, leaf, RT_ONNX_FLOAT, 0, NULL, data, sizeof *data);
}

const char *rt_put_ints(rt_onnx_writer *w, const char *leaf, size_t count, const int64_t *values) {
    int64_t *data = rt_put_alloc(w, count, sizeof *data);
    if (data != NULL) memcpy(data, values, count * sizeof *data);
    return rt_put_tensor(w, leaf, RT_ONNX_INT64, 1, (int64_t[]){(int64_t)count}, data, count * sizeof *data);
}

const char *rt_put_reshape(rt_onnx_writer *w, const char *leaf, const char *x, size_t count,
                           const int64_t *dims) {
    char shape[64];
    snprintf(shape, sizeof shape, "%s.shape", leaf);
    return rt_put2(w, "Reshape", leaf, x, rt_put_ints(w, shape, count, dims));
}

/* ---- Values of the graph ---- */

const float *rt_put_matrix(rt_onnx_writer *w, int value) {
    const rt_value *v = &w->graph->values[value];
    if (v->layout == RT_LAYOUT_ROWS) return v->data;
    size_t k = (size_t)v->dims[0], n = (size_t)v->dims[1];
    float *rows = rt_put_alloc(w, k, n * sizeof *rows);
    if (rows == NULL) return NULL;
    if (v->layout == RT_LAYOUT_P16) rt_unpack_f32(k, n, v->data, rows);
    if (v->layout == RT_LAYOUT_P16_BF16) rt_unpack_bf16(k, n, v->data, rows);
    return rows;
}

const char *rt_put_value(rt_onnx_writer *w, int value) {
    if (value < 0) return "";
    const rt_value *v = &w->graph->values[value];
    if (w->names[value] != NULL) return w->names[value];
    size_t count = 0;
    rt_shape_count(v->dims, v->rank, &count);
    bool packed = v->layout != RT_LAYOUT_ROWS;
    const void *data = packed ? rt_put_matrix(w, value) : v->data;
    size_t size = packed ? sizeof(float) : rt_dtype_size(v->dtype);
    w->names[value] = rt_put_named(w, v->name, packed ? RT_ONNX_FLOAT : rt_onnx_type_of(v->dtype), v->rank,
                                   v->dims, data, count * size);
    return w->names[value];
}

int rt_put_rank(const rt_onnx_writer *w, int value) {
    const rt_value *v = &w->graph->values[value];
    bool rows = v->rank > 0 && (v->dims[0] == RT_DIM_TOKENS || v->dims[0] == RT_DIM_MASK_TOKENS);
    return rows ? v->rank + 1 : v->rank;
}

void rt_put_output(rt_onnx_writer *w, const rt_node *node, const char *name) {
    for (int i = 0; i < node->output_count; i++) w->names[node->outputs[i]] = name;
}

/* ---- What many of them read ---- */

const char *rt_put_float_mask(rt_onnx_writer *w) {
    const char *scope = w->scope, *mask = "attention_mask";
    if (w->float_mask != NULL) return w->float_mask;
    w->scope = "mask";
    w->float_mask = rt_put(w, "Cast", "float", 1, &mask, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    w->scope = scope;
    return w->float_mask;
}

/* 0 for tokens, the least float for padding, as transformers adds it */
const char *rt_put_mask(rt_onnx_writer *w) {
    const char *scope = w->scope, *mask = "attention_mask";
    if (w->mask != NULL) return w->mask;
    w->scope = "mask";
    mask = rt_put(w, "Cast", "token", 1, &mask, 1, &RT_ONNX_INT("to", RT_ONNX_BOOL));
    mask = rt_put2(w, "Unsqueeze", "keys", mask, rt_put_ints(w, "axes", 2, (int64_t[]){1, 2}));
    const char *inputs[] = {mask, rt_put_scalar(w, "zero", 0), rt_put_scalar(w, "low", -FLT_MAX)};
    w->mask = rt_put(w, "Where", "added", 3, inputs, 0, NULL);
    w->scope = scope;
    return w->mask;
}
