/* SPDX-License-Identifier: Apache-2.0
 * Nodes and constants of the level-0 graph. */
#include "arch/builder.h"
#include "base/budget.h"
#include "graph/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = RT_SCOPE_MAX + 64, TILE = 32 };

int rt_emit(rt_builder *b, rt_op op, const char *scope, const char *leaf, int count, const int *inputs,
            const rt_attrs *attrs) {
    char name[NAME];
    snprintf(name, sizeof name, "%s.%s", scope, leaf);
    return rt_node_output(b->graph, rt_graph_node(b->graph, op, name, count, inputs, attrs), 0);
}

int rt_emit1(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x) {
    return rt_emit(b, op, scope, leaf, 1, &x, NULL);
}

int rt_emit2(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x, int y) {
    return rt_emit(b, op, scope, leaf, 2, (int[]){x, y}, NULL);
}

static int constant(rt_builder *b, const char *scope, const char *leaf, retort_dtype dtype, int rank,
                    const int64_t *dims, const void *data) {
    char name[NAME];
    if (data == NULL) return -1;
    snprintf(name, sizeof name, "%s.%s", scope, leaf);
    return rt_graph_constant(b->graph, name, dtype, RT_LAYOUT_ROWS, rank, dims, data);
}

int rt_emit_scalar(rt_builder *b, const char *scope, const char *leaf, float value) {
    float *data = rt_graph_alloc(b->graph, sizeof *data);
    if (data != NULL) *data = value;
    return constant(b, scope, leaf, RETORT_F32, 0, NULL, data);
}

int rt_emit_index(rt_builder *b, const char *scope, const char *leaf, int64_t value) {
    int64_t *data = rt_graph_alloc(b->graph, sizeof *data);
    if (data != NULL) *data = value;
    return constant(b, scope, leaf, RETORT_I64, 0, NULL, data);
}

int rt_emit_indices(rt_builder *b, const char *scope, const char *leaf, int count, const int64_t *values) {
    int64_t *data = rt_graph_alloc(b->graph, (size_t)count * sizeof *data);
    if (data != NULL) memcpy(data, values, (size_t)count * sizeof *data);
    return constant(b, scope, leaf, RETORT_I64, 1, (int64_t[]){count}, data);
}

/* Room for the tensor's elements as floats; NULL when that fails. */
static float *floats_for(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *tensor,
                         size_t *count) {
    size_t bytes;
    rt_budget_about(scope, leaf);
    if (!rt_shape_count(tensor->shape, tensor->rank, count) || !rt_mul(*count, sizeof(float), &bytes)) {
        bytes = SIZE_MAX;
    }
    return rt_graph_alloc(b->graph, bytes);
}

/* A tensor as a constant, as it is or transposed. */
typedef struct rt_emitted {
    const rt_tensor *tensor; /* NULL: the slot is free */
    bool transposed;
    int value;
} rt_emitted;

/* The slot of a tensor among `capacity`, a power of two, of which one is free; or the one where it would be. */
static rt_emitted *slot_of(rt_emitted *slots, size_t capacity, const rt_tensor *tensor, bool transposed) {
    uint64_t mixed = ((uint64_t)(uintptr_t)tensor + transposed) *
                     UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / the golden ratio */
    size_t at = (size_t)(mixed >> 32) & (capacity - 1);
    while (slots[at].tensor != NULL && (slots[at].tensor != tensor || slots[at].transposed != transposed))
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static int known(const rt_builder *b, const rt_tensor *tensor, bool transposed) {
    if (b->emitted_capacity == 0) return -1;
    const rt_emitted *slot = slot_of(b->emitted, b->emitted_capacity, tensor, transposed);
    return slot->tensor != NULL ? slot->value : -1;
}

/* Twice the slots when half are taken; false: out of memory. */
static bool grow(rt_builder *b) {
    size_t capacity = b->emitted_capacity > 0 ? 2 * b->emitted_capacity : 256;
    if (2 * (b->emitted_count + 1) <= b->emitted_capacity) return true;
    rt_emitted *slots = rt_calloc(capacity, sizeof *slots);
    for (size_t i = 0; slots != NULL && i < b->emitted_capacity; i++) {
        const rt_emitted *old = &b->emitted[i];
        if (old->tensor != NULL) *slot_of(slots, capacity, old->tensor, old->transposed) = *old;
    }
    if (slots == NULL) return false;
    free(b->emitted);
    b->emitted = slots;
    b->emitted_capacity = capacity;
    return true;
}

/* Keeps the constant for the next time; without memory for that there will be another one. */
static int keep(rt_builder *b, const rt_tensor *tensor, bool transposed, int value) {
    if (value < 0 || !grow(b)) return value;
    *slot_of(b->emitted, b->emitted_capacity, tensor, transposed) = (rt_emitted){tensor, transposed, value};
    b->emitted_count++;
    return value;
}

int rt_emit_tensor(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *tensor) {
    size_t count;
    int before = known(b, tensor, false);
    if (before >= 0) return before;
    float *data = floats_for(b, scope, leaf, tensor, &count);
    if (data == NULL) return -1;
    rt_to_f32(data, tensor->data, tensor->dtype, count);
    return keep(b, tensor, false, constant(b, scope, leaf, RETORT_F32, tensor->rank, tensor->shape, data));
}

int rt_emit_rows(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *table, int64_t first,
                 const rt_tensor *row) {
    size_t count, columns = (size_t)table->shape[1];
    rt_tensor rest = *table;
    rest.shape[0] -= first;
    rest.data = (const char *)table->data + (size_t)first * columns * rt_dtype_size(table->dtype);
    float *data = floats_for(b, scope, leaf, &rest, &count), *added = NULL;
    if (row != NULL) added = rt_graph_alloc(b->graph, columns * sizeof *added);
    if (data == NULL || (row != NULL && added == NULL)) return -1;
    rt_to_f32(data, rest.data, rest.dtype, count);
    if (row != NULL) rt_to_f32(added, row->data, row->dtype, columns);
    for (size_t i = 0; row != NULL && i < count; i++) data[i] += added[i % columns];
    return constant(b, scope, leaf, RETORT_F32, 2, rest.shape, data);
}

int rt_emit_projected(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *table,
                      const rt_tensor *row, const rt_tensor *projection) {
    size_t count, ignored, rows = (size_t)table->shape[0], k = (size_t)table->shape[1];
    size_t n = (size_t)projection->shape[0];
    float *x = floats_for(b, scope, leaf, table, &count),
          *added = rt_graph_alloc(b->graph, k * sizeof *added);
    float *matrix = floats_for(b, scope, leaf, projection, &ignored),
          *turned = floats_for(b, scope, leaf, projection, &ignored);
    float *out = rows > SIZE_MAX / sizeof *out / n ? NULL : rt_graph_alloc(b->graph, rows * n * sizeof *out);
    if (x == NULL || added == NULL || matrix == NULL || turned == NULL || out == NULL) return -1;
    rt_to_f32(x, table->data, table->dtype, count);
    if (row != NULL) rt_to_f32(added, row->data, row->dtype, k);
    for (size_t i = 0; row != NULL && i < count; i++) x[i] += added[i % k];
    rt_to_f32(matrix, projection->data, projection->dtype, n * k);
    rt_transpose(turned, matrix, (int64_t)n, (int64_t)k);
    rt_multiply(rows, n, k, x, turned, out);
    return constant(b, scope, leaf, RETORT_F32, 2, (int64_t[]){(int64_t)rows, (int64_t)n}, out);
}

/* out[i, j] = matrix[j, i] for the tile of rows j0… and columns i0…, which is small enough for
 * the L1 cache. */
static void transpose_tile(float *out, const rt_tensor *matrix, size_t j0, size_t i0) {
    float tile[TILE][TILE];
    size_t rows = (size_t)matrix->shape[0], columns = (size_t)matrix->shape[1];
    size_t height = rt_min(TILE, rows - j0), width = rt_min(TILE, columns - i0);
    const char *data = matrix->data;
    for (size_t j = 0; j < height; j++) {
        size_t at = (j0 + j) * columns + i0;
        rt_to_f32(tile[j], data + at * rt_dtype_size(matrix->dtype), matrix->dtype, width);
    }
    for (size_t i = 0; i < width; i++) {
        for (size_t j = 0; j < height; j++) out[(i0 + i) * rows + j0 + j] = tile[j][i];
    }
}

int rt_emit_transposed(rt_builder *b, const char *scope, const char *leaf, const rt_tensor *matrix) {
    size_t count;
    int before = known(b, matrix, true);
    if (before >= 0) return before;
    float *data = floats_for(b, scope, leaf, matrix, &count);
    if (data == NULL) return -1;
    for (size_t j = 0; j < (size_t)matrix->shape[0]; j += TILE) {
        for (size_t i = 0; i < (size_t)matrix->shape[1]; i += TILE) transpose_tile(data, matrix, j, i);
    }
    return keep(
        b, matrix, true,
        constant(b, scope, leaf, RETORT_F32, 2, (int64_t[]){matrix->shape[1], matrix->shape[0]}, data));
}

int rt_emit_by(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x, float value) {
    char name[RT_SCOPE_MAX];
    snprintf(name, sizeof name, "%s.value", leaf);
    return rt_emit2(b, op, scope, leaf, x, rt_emit_scalar(b, scope, name, value));
}

int rt_emit_reduce(rt_builder *b, rt_op op, const char *scope, const char *leaf, int x, int64_t axis,
                   bool keepdims) {
    char name[RT_SCOPE_MAX];
    rt_attrs attrs = {.axis = axis, .keepdims = keepdims};
    if (op != RT_OP_REDUCE_SUM) return rt_emit(b, op, scope, leaf, 1, &x, &attrs);
    snprintf(name, sizeof name, "%s.axes", leaf);
    attrs.axis = 0;
    return rt_emit(b, op, scope, leaf, 2, (int[]){x, rt_emit_indices(b, scope, name, 1, &axis)}, &attrs);
}

int rt_emit_linear(rt_builder *b, const char *scope, const rt_weight *linear, int x) {
    bool gemm = x >= 0 && b->graph->values[x].rank == 2 && linear->bias != NULL;
    int bias = linear->bias != NULL ? rt_emit_tensor(b, scope, "bias", linear->bias) : -1;
    if (gemm) {
        int weight = rt_emit_tensor(b, scope, "weight", linear->weight);
        return rt_emit(b, RT_OP_GEMM, scope, "gemm", 3, (int[]){x, weight, bias},
                       &(rt_attrs){.trans_b = true});
    }
    int y =
        rt_emit2(b, RT_OP_MATMUL, scope, "matmul", x, rt_emit_transposed(b, scope, "weight", linear->weight));
    return linear->bias != NULL ? rt_emit2(b, RT_OP_ADD, scope, "add", bias, y) : y;
}

/* A vector [n] of zeros. */
static int zeros(rt_builder *b, const char *scope, const char *leaf, int64_t n) {
    return constant(b, scope, leaf, RETORT_F32, 1, &n, rt_graph_alloc(b->graph, (size_t)n * sizeof(float)));
}

int rt_emit_layer_norm(rt_builder *b, const char *scope, const rt_weight *norm, float epsilon, int x) {
    int gamma = rt_emit_tensor(b, scope, "gamma", norm->weight);
    int beta = norm->bias != NULL ? rt_emit_tensor(b, scope, "beta", norm->bias)
                                  : zeros(b, scope, "beta", norm->weight->shape[0]);
    return rt_emit(b, RT_OP_LAYER_NORMALIZATION, scope, "normalization", 3, (int[]){x, gamma, beta},
                   &(rt_attrs){.epsilon = epsilon});
}

/* γ x / √(mean(x²) + ε) (Zhang and Sennrich, arXiv 1910.07467) */
static int rms_norm(rt_builder *b, const char *scope, const rt_weight *norm, float epsilon, int x) {
    int gamma = rt_emit_tensor(b, scope, "gamma", norm->weight);
    int squares = rt_emit2(b, RT_OP_MUL, scope, "square", x, x);
    int mean = rt_emit_reduce(b, RT_OP_REDUCE_MEAN, scope, "mean", squares, -1, true);
    int root = rt_emit1(b, RT_OP_SQRT, scope, "sqrt", rt_emit_by(b, RT_OP_ADD, scope, "add", mean, epsilon));
    return rt_emit2(b, RT_OP_MUL, scope, "mul", gamma, rt_emit2(b, RT_OP_DIV, scope, "div", x, root));
}

int rt_emit_norm(rt_builder *b, const char *scope, const rt_weight *norm, int x) {
    const rt_config *config = &b->encoder->config;
    return (config->arch->rms ? rms_norm : rt_emit_layer_norm)(b, scope, norm, config->epsilon, x);
}

/* x/2 * (1 + erf(x/√2)), in the order of torch's export */
static int gelu(rt_builder *b, const char *scope, int x) {
    int erf = rt_emit1(b, RT_OP_ERF, scope, "erf", rt_emit_by(b, RT_OP_DIV, scope, "div", x, 0x1.6a09e6p+0f));
    int one = rt_emit_by(b, RT_OP_ADD, scope, "add", erf, 1);
    return rt_emit_by(b, RT_OP_MUL, scope, "half", rt_emit2(b, RT_OP_MUL, scope, "mul", x, one), 0.5f);
}

/* x/2 * (1 + tanh(√(2/π) * (x + 0.044715 x³))): transformers' gelu_new */
static int gelu_tanh(rt_builder *b, const char *scope, int x) {
    int half = rt_emit_by(b, RT_OP_MUL, scope, "half", x, 0.5f);
    int cube = rt_emit_by(b, RT_OP_POW, scope, "pow", x, 3);
    int inner =
        rt_emit2(b, RT_OP_ADD, scope, "inner", x, rt_emit_by(b, RT_OP_MUL, scope, "cubic", cube, 0.044715f));
    int scaled = rt_emit_by(b, RT_OP_MUL, scope, "scaled", inner, (float)sqrt(2 / M_PI));
    int one = rt_emit_by(b, RT_OP_ADD, scope, "add", rt_emit1(b, RT_OP_TANH, scope, "tanh", scaled), 1);
    return rt_emit2(b, RT_OP_MUL, scope, "mul", half, one);
}

int rt_emit_activation(rt_builder *b, const char *scope, rt_act activation, int x) {
    switch (activation) {
    case RT_FN_GELU:
        return gelu(b, scope, x);
    case RT_FN_GELU_TANH:
        return gelu_tanh(b, scope, x);
    case RT_FN_RELU:
        return rt_emit1(b, RT_OP_RELU, scope, "relu", x);
    case RT_FN_TANH:
        return rt_emit1(b, RT_OP_TANH, scope, "tanh", x);
    case RT_FN_SILU:
        return rt_emit2(b, RT_OP_MUL, scope, "silu", x, rt_emit1(b, RT_OP_SIGMOID, scope, "sigmoid", x));
    case RT_FN_GELU_SHORT:
    case RT_FN_NONE:
        break;
    }
    return x;
}

int rt_emit_expand(rt_builder *b, const char *scope, int x, int axis_count, const int64_t *axes, int like) {
    int wide = rt_emit2(b, RT_OP_UNSQUEEZE, scope, "unsqueeze", x,
                        rt_emit_indices(b, scope, "axes", axis_count, axes));
    return rt_emit2(b, RT_OP_EXPAND, scope, "expand", wide, rt_emit1(b, RT_OP_SHAPE, scope, "shape", like));
}
