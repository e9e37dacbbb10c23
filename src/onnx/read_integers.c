/* SPDX-License-Identifier: Apache-2.0
 * What quantisers write. Integers times their scales become floats again, and activations that would be rounded to
 * integers stay floats, which is more accurate. */
#include "onnx/reader.h"
#include "base/budget.h"

#include <string.h>

/* ---- Integers of a file as floats ---- */

static int64_t element(const rt_onnx_tensor *t, size_t i) {
    const uint8_t *bytes = t->data;
    if (t->type == RT_ONNX_INT8) return ((const int8_t *)t->data)[i];
    if (t->type == RT_ONNX_UINT8) return bytes[i];
    if (t->type == RT_ONNX_INT32) {
        int32_t value;
        memcpy(&value, bytes + i * sizeof value, sizeof value);
        return value;
    }
    int half = bytes[i / 2] >> (i % 2 * 4) & 15;
    return t->type == RT_ONNX_INT4 && half > 7 ? half - 16 : half;
}

bool rt_read_is_integer(const rt_onnx_tensor *t) {
    return t != NULL && (t->type == RT_ONNX_INT8 || t->type == RT_ONNX_UINT8 || t->type == RT_ONNX_INT4 ||
                         t->type == RT_ONNX_UINT4 || t->type == RT_ONNX_INT32);
}

/* Scales or zero points of a matrix: one for each block of `rows` times `columns` elements, `stride` of them
 * side by side. */
typedef struct grid {
    const rt_onnx_tensor *of; /* NULL: none */
    int64_t rows, columns, stride;
} grid;

static size_t grid_at(const grid *g, int64_t i, int64_t j) {
    return (size_t)(i / g->rows * g->stride + j / g->columns);
}

static bool is_one(const rt_onnx_tensor *t) {
    size_t count;
    return rt_shape_count(t->dims, t->rank, &count) && count == 1;
}

/* A vector is one column: a bias, which quantisers keep in 32 bits. */
static int64_t columns_of(const rt_onnx_tensor *t) {
    return t->rank == 2 ? t->dims[1] : 1;
}

/* One for all, in any shape; one for each place along an axis, [n] or [1, n] (after more dims of 1: a factor
 * may have them); or, with a block, of the matrix's rank. False: its dims are none of these. */
static bool lay_grid(grid *g, const rt_onnx_tensor *t, int64_t axis, int64_t block) {
    const rt_onnx_tensor *of = g->of;
    int64_t size[] = {t->dims[0], columns_of(t)}, each[] = {size[0], size[1]}, want[2];
    if (of == NULL) return true;
    bool one = is_one(of);
    if (!one && (axis < 0 || axis >= t->rank)) return false;
    if (!one) each[axis] = block > 0 ? block : 1;
    if (!one && block > 0) each[1 - axis] = 1;
    for (int d = 0; d < 2; d++) want[d] = size[d] / each[d] + (size[d] % each[d] != 0);
    g->rows = each[0];
    g->columns = each[1];
    g->stride = want[1];
    if (one || (of->rank == 1 && block == 0)) return one || of->dims[0] == want[axis];
    int more = of->rank - t->rank;
    for (int d = 0; d < more; d++) {
        if (of->dims[d] != 1) return false;
    }
    return more >= 0 && memcmp(of->dims + more, want, (size_t)t->rank * sizeof *want) == 0;
}

static int misfit(rt_onnx_reader *r, const rt_onnx_tensor *of, const rt_onnx_tensor *t) {
    char found[96], shape[96];
    if (r->status != RETORT_OK) return -1;
    r->status = rt_fail(r->err, RETORT_FORMAT,
                        "%.160s: tensor '%.80s' %s: no scale or zero point of '%.80s' %s along its axis",
                        r->index->file, of->name, rt_shape_text(found, sizeof found, of->dims, of->rank),
                        t->name, rt_shape_text(shape, sizeof shape, t->dims, t->rank));
    return -1;
}

int rt_read_dequantized(rt_onnx_reader *r, const rt_onnx_tensor *t, const rt_onnx_tensor *scales,
                        const rt_onnx_tensor *zeros, int64_t axis, int64_t block) {
    grid scale = {.of = scales}, zero = {.of = zeros};
    size_t count;
    bool fits = rt_read_is_integer(t) && scales != NULL && scales->type == RT_ONNX_FLOAT && block >= 0 &&
                t->rank <= 2 && rt_shape_count(t->dims, t->rank, &count) && count > 0 &&
                (zeros == NULL || rt_read_is_integer(zeros));
    if (!fits) return rt_read_refuse(r, "integers [n] or [k, n] with float scales"), -1;
    rt_onnx_tensor matrix = *t;
    if (matrix.rank == 0) matrix.rank = 1, matrix.dims[0] = 1;
    if (axis < 0) axis += matrix.rank;
    if (!lay_grid(&scale, &matrix, axis, block)) return misfit(r, scales, t);
    if (zeros != NULL && !lay_grid(&zero, &matrix, axis, block)) return misfit(r, zeros, t);
    rt_budget_about(t->name, "data");
    float *data = rt_graph_alloc(r->graph, count * sizeof *data);
    if (data == NULL) return rt_read_no_memory(r), -1;
    int64_t columns = columns_of(&matrix);
    for (int64_t i = 0; i < matrix.dims[0]; i++) {
        for (int64_t j = 0; j < columns; j++) {
            size_t at = (size_t)(i * columns + j);
            float factor;
            memcpy(&factor, (const char *)scales->data + grid_at(&scale, i, j) * sizeof factor,
                   sizeof factor);
            int64_t middle = zeros != NULL ? element(zeros, grid_at(&zero, i, j)) : 0;
            data[at] = (float)(element(t, at) - middle) * factor;
        }
    }
    return rt_read_floats(r, t->rank, t->dims, data);
}

/* ---- QuantizeLinear and DequantizeLinear ---- */

/* Whether codes with this zero point (input `zero`) begin at zero: 0 becomes the smallest code. */
static bool begins_at_zero(const rt_onnx_reader *r, const rt_onnx_node *node, size_t zero) {
    const rt_onnx_tensor *t = rt_read_tensor(r->index, rt_read_input(node, zero));
    if (rt_read_input(node, zero)[0] == '\0') /* 0 */
        return rt_read_int(node, "output_dtype", RT_ONNX_UINT8) == RT_ONNX_UINT8;
    if (t == NULL || !is_one(t) || (t->type != RT_ONNX_INT8 && t->type != RT_ONNX_UINT8)) return false;
    return element(t, 0) == (t->type == RT_ONNX_INT8 ? INT8_MIN : 0);
}

/* Whether two tensors hold the same numbers; an absent one stands for zeros. */
static bool equal_numbers(const rt_onnx_tensor *a, const rt_onnx_tensor *b) {
    static const uint8_t none[sizeof(int32_t)];
    if (a == NULL || b == NULL) {
        const rt_onnx_tensor *there = a != NULL ? a : b;
        return there == NULL || (there->bytes <= sizeof none && memcmp(there->data, none, there->bytes) == 0);
    }
    return a->type == b->type && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

bool rt_read_is_scaled(rt_onnx_reader *r, const rt_onnx_node *node, const rt_read *codes, size_t scale,
                       size_t zero) {
    const size_t inputs[] = {scale, zero};
    const rt_onnx_tensor *own[] = {codes->scale, codes->zero};
    const rt_read_kind kinds[] = {RT_READ_SCALE, RT_READ_ZERO};
    for (int i = 0; i < 2; i++) {
        const rt_onnx_tensor *given = rt_read_tensor(r->index, rt_read_input(node, inputs[i]));
        const rt_read *read = rt_read_of(r, node, inputs[i]);
        bool fits = codes->scale != NULL ? equal_numbers(given, own[i])
                                         : read != NULL && read->kind == kinds[i] &&
                                               read->value == codes->value && read->scale == NULL;
        if (inputs[i] != SIZE_MAX && !fits)
            return rt_read_refuse(r, "the scale and the zero point that activations were rounded with");
    }
    return true;
}

/* The node that makes a value, below its rounding. */
static const rt_onnx_node *maker_unrounded(const rt_onnx_reader *r, const char *name) {
    const rt_onnx_node *node = rt_read_maker(r->index, name);
    bool rounds = node != NULL && strcmp(node->op, "DequantizeLinear") == 0;
    if (rounds) node = rt_read_maker(r->index, rt_read_input(node, 0));
    rounds = rounds && node != NULL && strcmp(node->op, "QuantizeLinear") == 0;
    return rounds ? rt_read_maker(r->index, rt_read_input(node, 0)) : node;
}

static bool is_constant(const rt_onnx_reader *r, const rt_onnx_node *node, size_t input) {
    int at = rt_read_find(r->index, rt_read_input(node, input));
    return at >= 0 && r->index->sources[at].from == 0;
}

/* x w, of constants w. */
static bool is_product(const rt_onnx_reader *r, const rt_onnx_node *node) {
    if (node == NULL) return false;
    return (strcmp(node->op, "MatMul") == 0 && is_constant(r, node, 1)) ||
           (strcmp(node->op, "QLinearMatMul") == 0 && is_constant(r, node, 3));
}

/* Whether a node is x w + b, or x w, of constants. */
static bool is_linear(const rt_onnx_reader *r, const rt_onnx_node *node) {
    if (node == NULL) return false;
    if (strcmp(node->op, "Gemm") == 0 || strcmp(node->op, "QGemm") == 0 || is_product(r, node)) return true;
    bool codes = strcmp(node->op, "QLinearAdd") == 0;
    if (!codes && strcmp(node->op, "Add") != 0) return false;
    size_t second = codes ? 3 : 1;
    return (is_constant(r, node, 0) && is_product(r, maker_unrounded(r, rt_read_input(node, second)))) ||
           (is_constant(r, node, second) && is_product(r, maker_unrounded(r, rt_read_input(node, 0))));
}

/* ONNX Runtime's quantiser omits a Relu if the rounding after it clips negative numbers. */
static bool quantize(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *read = rt_read_of(r, node, 0);
    if (read != NULL && read->kind == RT_READ_MERGED) return rt_read_put(r, node, 0, *read);
    int x = rt_read_value(r, node, 0);
    if (x < 0) return false;
    if (r->batch == NULL && begins_at_zero(r, node, 2) &&
        is_linear(r, rt_read_maker(r->index, rt_read_input(node, 0))))
        x = rt_read_emit1(r, RT_OP_RELU, x);
    rt_read codes = {.kind = RT_READ_CODES,
                     .value = x,
                     .scale = rt_read_tensor(r->index, rt_read_input(node, 1)),
                     .zero = rt_read_tensor(r->index, rt_read_input(node, 2))};
    return x >= 0 && rt_read_put(r, node, 0, codes);
}

static bool dequantize(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *read = rt_read_of(r, node, 0);
    const rt_onnx_tensor *codes = rt_read_tensor(r->index, rt_read_input(node, 0));
    const rt_onnx_tensor *scale = rt_read_tensor(r->index, rt_read_input(node, 1));
    const rt_onnx_tensor *zero = rt_read_tensor(r->index, rt_read_input(node, 2));
    if (codes == NULL && read != NULL && read->kind == RT_READ_MERGED) return rt_read_put(r, node, 0, *read);
    if (codes == NULL && read != NULL && read->kind == RT_READ_PICKED) {
        if (scale == NULL || !is_one(scale)) return rt_read_refuse(r, "one scale for the rows of a table");
        int table = rt_read_dequantized(r, read->codes, scale, zero, 0, 0);
        if (table < 0) return false;
        return rt_read_as(r, node, 0, rt_read_rows(r, table, read->value, read->offset, 0));
    }
    if (codes != NULL) {
        int64_t axis = rt_read_int(node, "axis", 1), block = rt_read_int(node, "block_size", 0);
        return rt_read_as(r, node, 0, rt_read_dequantized(r, codes, scale, zero, axis, block));
    }
    if (read != NULL && read->kind == RT_READ_CODES && !rt_read_is_scaled(r, node, read, 1, 2)) return false;
    int x = rt_read_value(r, node, 0);
    if (x >= 0 && r->graph->values[x].dtype != RETORT_F32)
        return rt_read_refuse(r, "activations that QuantizeLinear rounded");
    return rt_read_as(r, node, 0, x);
}

/* ---- Operators on integers: the plain operator between DequantizeLinear and QuantizeLinear ---- */

/* Turns codes, scale and zero point, inputs `at` and following, into floats, unless they are floats already. */
static bool operand_to_floats(rt_onnx_reader *r, const rt_onnx_node *node, size_t at,
                              const rt_onnx_tensor *scale, const rt_onnx_tensor *zero, int64_t axis) {
    int index = rt_read_find(r->index, rt_read_input(node, at));
    if (index < 0) return rt_read_refuse(r, "all operands");
    const rt_onnx_tensor *codes = r->index->sources[index].tensor;
    const rt_read read = r->reads[index];
    int value = -1;
    if (codes != NULL) {
        value = rt_read_dequantized(r, codes, scale, zero, axis, 0);
    } else if (read.kind == RT_READ_PICKED) {
        if (scale == NULL || !is_one(scale)) return rt_read_refuse(r, "one scale for the rows of a table");
        value = rt_read_rows(r, rt_read_dequantized(r, read.codes, scale, zero, 0, 0), read.value,
                             read.offset, 0);
    } else {
        return read.kind != RT_READ_CODES || rt_read_is_scaled(r, node, &read, at + 1, at + 2);
    }
    r->reads[index] = (rt_read){.kind = RT_READ_VALUE, .value = value};
    return value >= 0;
}

/* The scale of a bias, that of x times that of the weight, into *out. */
static bool bias_scale(rt_onnx_reader *r, const rt_onnx_node *node, rt_onnx_tensor *out) {
    const rt_onnx_tensor *x = rt_read_tensor(r->index, rt_read_input(node, 1));
    const rt_onnx_tensor *weight = rt_read_tensor(r->index, rt_read_input(node, 4));
    size_t count;
    float factor;
    if (x == NULL || weight == NULL || x->type != RT_ONNX_FLOAT || weight->type != RT_ONNX_FLOAT ||
        !is_one(x) || weight->rank > 1 || !rt_shape_count(weight->dims, weight->rank, &count))
        return rt_read_refuse(r, "scales of x and of the weight");
    float *data = rt_graph_alloc(r->graph, count * sizeof *data);
    if (data == NULL) return rt_read_no_memory(r);
    memcpy(&factor, x->data, sizeof factor);
    memcpy(data, weight->data, count * sizeof *data);
    for (size_t i = 0; i < count; i++) data[i] *= factor;
    *out = *weight;
    out->data = data;
    return true;
}

/* Inputs come in threes: codes, scale, zero point. A bias in 32 bits may follow; then the scale and the zero point
 * of the output; without them the output is float. */
static bool on_integers(rt_onnx_reader *r, const rt_onnx_node *node, const char *op, size_t operands,
                        bool bias) {
    const char *inputs[3];
    size_t out = 3 * operands + (bias ? 1 : 0);
    rt_onnx_node plain = *node;
    rt_onnx_tensor scale;
    for (size_t i = 0; i < operands; i++) {
        const rt_onnx_tensor *zero = rt_read_tensor(r->index, rt_read_input(node, 3 * i + 2));
        inputs[i] = rt_read_input(node, 3 * i);
        if (!operand_to_floats(r, node, 3 * i, rt_read_tensor(r->index, rt_read_input(node, 3 * i + 1)), zero,
                               rt_read_int(node, "transB", 0) != 0 ? 0 : 1))
            return false;
    }
    inputs[operands] = bias ? rt_read_input(node, out - 1) : "";
    if (inputs[operands][0] != '\0' &&
        (!bias_scale(r, node, &scale) || !operand_to_floats(r, node, out - 1, &scale, NULL, 0)))
        return false;
    plain.op = op;
    plain.domain = "";
    plain.inputs = inputs;
    plain.input_count = operands + (inputs[operands][0] != '\0');
    if (!rt_read_operator(&plain)(r, &plain)) return false;
    rt_read *read = &r->reads[rt_read_find(r->index, node->outputs[0])];
    if (read->kind != RT_READ_VALUE || rt_read_input(node, out)[0] == '\0') return true;
    if (r->batch == NULL && begins_at_zero(r, node, out + 1) && is_linear(r, node))
        read->value = rt_read_emit1(r, RT_OP_RELU, read->value);
    read->kind = RT_READ_CODES;
    read->scale = rt_read_tensor(r->index, rt_read_input(node, out));
    read->zero = rt_read_tensor(r->index, rt_read_input(node, out + 1));
    return read->value >= 0;
}

static bool matmul_of_codes(rt_onnx_reader *r, const rt_onnx_node *node) {
    return on_integers(r, node, "MatMul", 2, false);
}

static bool add_of_codes(rt_onnx_reader *r, const rt_onnx_node *node) {
    return on_integers(r, node, "Add", 2, false);
}

static bool mul_of_codes(rt_onnx_reader *r, const rt_onnx_node *node) {
    return on_integers(r, node, "Mul", 2, false);
}

static bool softmax_of_codes(rt_onnx_reader *r, const rt_onnx_node *node) {
    return on_integers(r, node, "Softmax", 1, false);
}

static bool gemm_of_codes(rt_onnx_reader *r, const rt_onnx_node *node) {
    return on_integers(r, node, "Gemm", 2, true);
}

/* ---- Activations rounded at run time ---- */

static bool dynamic_quantize(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0);
    return x >= 0 && rt_read_put(r, node, 0, (rt_read){.kind = RT_READ_CODES, .value = x}) &&
           rt_read_put(r, node, 1, (rt_read){.kind = RT_READ_SCALE, .value = x}) &&
           rt_read_put(r, node, 2, (rt_read){.kind = RT_READ_ZERO, .value = x});
}

static bool matmul_integer(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *x = rt_read_of(r, node, 0);
    const rt_onnx_tensor *codes = rt_read_tensor(r->index, rt_read_input(node, 1));
    if (x == NULL || x->kind != RT_READ_CODES || !rt_read_is_integer(codes))
        return rt_read_refuse(r, "rounded activations and constant integers");
    if (!rt_read_is_scaled(r, node, x, SIZE_MAX, 2)) return false;
    rt_read read = {.kind = RT_READ_PRODUCT,
                    .value = x->value,
                    .codes = codes,
                    .zero = rt_read_tensor(r->index, rt_read_input(node, 3))};
    return rt_read_put(r, node, 0, read);
}

/* Scales of activations and weights, and a product with its scales, in any order. */
static bool scale_product(rt_onnx_reader *r, const rt_onnx_node *node) {
    for (size_t side = 0; side < 2; side++) {
        const rt_read *a = rt_read_of(r, node, side), *b = rt_read_of(r, node, 1 - side);
        const rt_onnx_tensor *constant = rt_read_tensor(r->index, rt_read_input(node, 1 - side));
        if (a == NULL || b == NULL) continue;
        if (a->kind == RT_READ_SCALE && a->scale == NULL && constant != NULL) {
            rt_read read = *a;
            read.scale = constant;
            return rt_read_put(r, node, 0, read);
        }
        if (a->kind == RT_READ_PRODUCT && b->kind == RT_READ_SCALE && b->scale != NULL &&
            a->value == b->value) {
            int x = a->value, weight = rt_read_dequantized(r, a->codes, b->scale, a->zero, 1, 0);
            return weight >= 0 && rt_read_as(r, node, 0, rt_read_linear(r, x, weight, -1));
        }
    }
    return rt_read_refuse(r, "a product of integers with the scales of both sides");
}

/* ---- ONNX Runtime's products ---- */

/* (x, codes, scale, zero point, bias) */
static bool dynamic_matmul(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0), bias = rt_read_value(r, node, 4);
    int weight = rt_read_dequantized(r, rt_read_tensor(r->index, rt_read_input(node, 1)),
                                     rt_read_tensor(r->index, rt_read_input(node, 2)),
                                     rt_read_tensor(r->index, rt_read_input(node, 3)), 1, 0);
    return x >= 0 && weight >= 0 && rt_read_as(r, node, 0, rt_read_linear(r, x, weight, bias));
}

/* (codes of x, codes, scale of x, scale, zero point of x, zero point, bias) */
static bool matmul_to_float(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *x = rt_read_of(r, node, 0);
    if (x == NULL || x->kind != RT_READ_CODES) return rt_read_refuse(r, "rounded activations");
    if (!rt_read_is_scaled(r, node, x, 2, 4)) return false;
    int value = x->value, bias = rt_read_value(r, node, 6);
    int weight = rt_read_dequantized(r, rt_read_tensor(r->index, rt_read_input(node, 1)),
                                     rt_read_tensor(r->index, rt_read_input(node, 3)),
                                     rt_read_tensor(r->index, rt_read_input(node, 5)), 1, 0);
    return weight >= 0 && rt_read_as(r, node, 0, rt_read_linear(r, value, weight, bias));
}

/* Whether the tensor is [n, each], or the same as a vector. */
static bool by_row(const rt_onnx_tensor *t, rt_onnx_type type, int64_t n, int64_t each) {
    return rt_onnx_is_shaped(t, type, 2, (int64_t[]){n, each}) ||
           rt_onnx_is_shaped(t, type, 1, (int64_t[]){n * each});
}

/* B [n, blocks, bytes] of codes along k, the low half first; scales [n, blocks]. */
static bool matmul_n_bits(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_onnx_tensor *b = rt_read_tensor(r->index, rt_read_input(node, 1));
    const rt_onnx_tensor *scale = rt_read_tensor(r->index, rt_read_input(node, 2));
    const rt_onnx_tensor *zero = rt_read_tensor(r->index, rt_read_input(node, 3));
    int64_t k = rt_read_int(node, "K", 0), n = rt_read_int(node, "N", 0), bits = rt_read_int(node, "bits", 4);
    int64_t block = rt_read_int(node, "block_size", 32);
    if (k < 1 || n < 1 || k > 1 << 24 || n > 1 << 24 || block < 16 || block % 2 != 0 || block > 1 << 16)
        return rt_read_refuse(r, "K and N, and blocks of 16 or more");
    int64_t blocks = (k + block - 1) / block;
    int64_t stride = (blocks * bits + 7) / 8, shape[] = {n, blocks, block * bits / 8};
    if ((bits != 4 && bits != 8) || rt_read_input(node, 4)[0] != '\0' || b == NULL || scale == NULL ||
        !rt_onnx_is_shaped(b, RT_ONNX_UINT8, 3, shape))
        return rt_read_refuse(r, "codes of 4 or 8 bits [N, blocks, bytes] with their scales");
    if (!by_row(scale, RT_ONNX_FLOAT, n, blocks)) return misfit(r, scale, b) >= 0;
    if (zero != NULL && !by_row(zero, RT_ONNX_UINT8, n, stride)) return misfit(r, zero, b) >= 0;
    rt_budget_about(b->name, "data");
    float *data = rt_graph_alloc(r->graph, (size_t)n * (size_t)k * sizeof *data);
    if (data == NULL) return rt_read_no_memory(r);
    rt_onnx_tensor codes = {.type = bits == 4 ? RT_ONNX_UINT4 : RT_ONNX_UINT8, .data = b->data},
                   zeros = codes;
    for (int64_t j = 0; j < n; j++) {
        if (zero != NULL) zeros.data = (const uint8_t *)zero->data + j * stride;
        for (int64_t i = 0; i < k; i++) {
            float s;
            memcpy(&s, (const char *)scale->data + (size_t)(j * blocks + i / block) * sizeof s, sizeof s);
            int64_t middle = zero != NULL ? element(&zeros, (size_t)(i / block)) : (int64_t)1 << (bits - 1);
            data[i * n + j] = (float)(element(&codes, (size_t)(j * blocks * block + i)) - middle) * s;
        }
    }
    int weight = rt_read_floats(r, 2, (int64_t[]){k, n}, data);
    int x = rt_read_value(r, node, 0), bias = rt_read_value(r, node, 5);
    return x >= 0 && rt_read_as(r, node, 0, rt_read_linear(r, x, weight, bias));
}

rt_reader_fn rt_read_integer_operator(const rt_onnx_node *node) {
    static const rt_read_row rows[] = {
        {"DequantizeLinear", dequantize},
        {"DynamicQuantizeLinear", dynamic_quantize},
        {"DynamicQuantizeMatMul", dynamic_matmul},
        {"MatMulInteger", matmul_integer},
        {"MatMulIntegerToFloat", matmul_to_float},
        {"MatMulNBits", matmul_n_bits},
        {"Mul", scale_product},
        {"QGemm", gemm_of_codes},
        {"QLinearAdd", add_of_codes},
        {"QLinearMatMul", matmul_of_codes},
        {"QLinearMul", mul_of_codes},
        {"QLinearSoftmax", softmax_of_codes},
        {"QuantizeLinear", quantize},
    };
    return rt_read_find_row(rows, sizeof rows / sizeof *rows, node->op);
}
