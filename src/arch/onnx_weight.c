/* SPDX-License-Identifier: Apache-2.0
 * Weights: float constants as they are, integers times their scales. */
#include "arch/onnx_match.h"

/* Whether the value is a float constant; its view. */
static bool float_view(const rt_onnx_tensor *t, rt_tensor *out) {
    retort_dtype dtype;
    if (t == NULL || !rt_onnx_dtype(t->type, &dtype)) return false;
    if (dtype != RETORT_F32 && dtype != RETORT_F16 && dtype != RETORT_BF16) return false;
    *out = (rt_tensor){.name = t->name, .data = t->data, .dtype = dtype, .rank = t->rank};
    memcpy(out->shape, t->dims, sizeof out->shape);
    return true;
}

int64_t rt_onnx_element(const rt_onnx_tensor *t, size_t i) {
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

bool rt_onnx_is_integer(const rt_onnx_tensor *t) {
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

/* One for all, in any shape; one for each place along an axis, [n] or [1, n] (behind more dims of 1: a factor
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

/* Notes what does not fit, for the refusal that follows. */
static bool misfit(rt_onnx_match *m, const rt_onnx_tensor *of, const rt_onnx_tensor *t) {
    m->misfit = of;
    m->misfit_of = t;
    return false;
}

/* Integers as floats. */
static bool dequantized(rt_onnx_match *m, const rt_onnx_tensor *t, const rt_onnx_tensor *scales,
                        const rt_onnx_tensor *zeros, int64_t axis, int64_t block, rt_tensor *out) {
    grid scale = {.of = scales}, zero = {.of = zeros};
    size_t count;
    if (t->rank < 1 || t->rank > 2 || t->dims[0] < 1 || columns_of(t) < 1) return false;
    if (scales->type != RT_ONNX_FLOAT || (zeros != NULL && !rt_onnx_is_integer(zeros))) return false;
    if (!lay_grid(&scale, t, axis, block)) return misfit(m, scales, t);
    if (!lay_grid(&zero, t, axis, block)) return misfit(m, zeros, t);
    if (!rt_shape_count(t->dims, t->rank, &count)) return false;
    float *data = rt_arena_calloc(m->arena, count, sizeof *data);
    if (data == NULL) return rt_onnx_no_memory(m);
    for (int64_t i = 0; i < t->dims[0]; i++) {
        for (int64_t j = 0; j < columns_of(t); j++) {
            size_t at = (size_t)(i * columns_of(t) + j);
            float factor;
            memcpy(&factor, (const char *)scales->data + grid_at(&scale, i, j) * sizeof factor,
                   sizeof factor);
            int64_t middle = zeros != NULL ? rt_onnx_element(zeros, grid_at(&zero, i, j)) : 0;
            data[at] = (float)(rt_onnx_element(t, at) - middle) * factor;
        }
    }
    *out = (rt_tensor){.name = t->name, .data = data, .dtype = RETORT_F32, .rank = t->rank};
    memcpy(out->shape, t->dims, sizeof out->shape);
    return true;
}

/* The integers `t` as DequantizeLinear `node` makes floats of them. */
static bool from_dequantize(rt_onnx_match *m, const rt_onnx_node *node, const rt_onnx_tensor *t,
                            rt_tensor *out) {
    const rt_onnx_tensor *scale = rt_onnx_constant(m, rt_onnx_input(node, 1));
    const rt_onnx_tensor *zero = rt_onnx_constant(m, rt_onnx_input(node, 2));
    int64_t axis = rt_onnx_int(node, "axis", 1), block = rt_onnx_int(node, "block_size", 0);
    if (!rt_onnx_is_integer(t) || scale == NULL || block < 0) return false;
    return dequantized(m, t, scale, zero, axis < 0 ? axis + t->rank : axis, block, out);
}

bool rt_onnx_weight_of(rt_onnx_match *m, const char *value, rt_onnx_weight *out) {
    *out = (rt_onnx_weight){0};
    const rt_onnx_node *turn = rt_onnx_made_by(m, value, "Transpose");
    if (turn != NULL) value = rt_onnx_input(turn, 0);
    value = rt_onnx_unrounded(m, value);
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    bool found = float_view(rt_onnx_constant(m, value), &out->tensor) ||
                 (rt_onnx_is(node, "DequantizeLinear") &&
                  from_dequantize(m, node, rt_onnx_constant(m, rt_onnx_input(node, 0)), &out->tensor));
    out->transposed = turn != NULL;
    return found && (turn == NULL || out->tensor.rank == 2);
}

bool rt_onnx_integer_table(rt_onnx_match *m, const rt_onnx_node *dequantize, const rt_onnx_node *gather,
                           rt_onnx_weight *out) {
    *out = (rt_onnx_weight){0};
    const rt_onnx_tensor *scale = rt_onnx_constant(m, rt_onnx_input(dequantize, 1));
    bool one = scale != NULL && is_one(scale); /* what Gather picks rows of has no axis for more */
    return one && from_dequantize(m, dequantize, rt_onnx_constant(m, rt_onnx_input(gather, 0)), &out->tensor);
}

/* ---- Products ---- */

static bool matmul(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_linear *out) {
    out->x = rt_onnx_input(node, 0);
    bool plain = rt_onnx_real(node, "alpha", 1) == 1 && rt_onnx_int(node, "transA", 0) == 0;
    bool found =
        plain && rt_onnx_weight_of(m, rt_onnx_input(node, 1), &out->weight) && out->weight.tensor.rank == 2;
    if (rt_onnx_int(node, "transB", 0) != 0) out->weight.transposed = !out->weight.transposed;
    return found;
}

static bool gemm(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_linear *out) {
    const char *act =
        rt_onnx_attribute(node, "activation") != NULL ? rt_onnx_attribute(node, "activation")->text : "";
    bool known = act[0] == '\0' || strcmp(act, "Relu") == 0 || strcmp(act, "Tanh") == 0;
    out->act = act[0] == '\0' ? RT_FN_NONE : act[0] == 'R' ? RT_FN_RELU : RT_FN_TANH;
    return known && rt_onnx_real(node, "beta", 1) == 1 && matmul(m, node, out) &&
           (rt_onnx_input(node, 2)[0] == '\0' || rt_onnx_weight_of(m, rt_onnx_input(node, 2), &out->bias));
}

/* Whether the tensor is [n, each], or the same as a vector. */
static bool by_row(const rt_onnx_tensor *t, rt_onnx_type type, int64_t n, int64_t each) {
    return rt_onnx_is_shaped(t, type, 2, (int64_t[]){n, each}) ||
           rt_onnx_is_shaped(t, type, 1, (int64_t[]){n * each});
}

/* B [n, blocks, bytes] of codes along k, the low half first; scales [n, blocks]. */
static bool n_bits(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_linear *out) {
    const rt_onnx_tensor *b = rt_onnx_constant(m, rt_onnx_input(node, 1));
    const rt_onnx_tensor *scale = rt_onnx_constant(m, rt_onnx_input(node, 2));
    const rt_onnx_tensor *zero = rt_onnx_constant(m, rt_onnx_input(node, 3));
    int64_t k = rt_onnx_int(node, "K", 0), n = rt_onnx_int(node, "N", 0), bits = rt_onnx_int(node, "bits", 4);
    int64_t block = rt_onnx_int(node, "block_size", 32);
    if (k < 1 || n < 1 || k > 1 << 24 || n > 1 << 24 || block < 16 || block % 2 != 0 || block > 1 << 16)
        return false;
    int64_t blocks = (k + block - 1) / block;
    int64_t stride = (blocks * bits + 7) / 8, shape[] = {n, blocks, block * bits / 8};
    if ((bits != 4 && bits != 8) || rt_onnx_input(node, 4)[0] != '\0' || b == NULL || scale == NULL ||
        !rt_onnx_is_shaped(b, RT_ONNX_UINT8, 3, shape))
        return false;
    if (!by_row(scale, RT_ONNX_FLOAT, n, blocks)) return misfit(m, scale, b);
    if (zero != NULL && !by_row(zero, RT_ONNX_UINT8, n, stride)) return misfit(m, zero, b);
    float *data = rt_arena_calloc(m->arena, (size_t)n, (size_t)k * sizeof *data);
    if (data == NULL) return rt_onnx_no_memory(m);
    rt_onnx_tensor codes = {.type = bits == 4 ? RT_ONNX_UINT4 : RT_ONNX_UINT8, .data = b->data},
                   zeros = codes;
    for (int64_t j = 0; j < n; j++) {
        if (zero != NULL) zeros.data = (const uint8_t *)zero->data + j * stride;
        for (int64_t i = 0; i < k; i++) {
            float s;
            memcpy(&s, (const char *)scale->data + (size_t)(j * blocks + i / block) * sizeof s, sizeof s);
            int64_t middle =
                zero != NULL ? rt_onnx_element(&zeros, (size_t)(i / block)) : (int64_t)1 << (bits - 1);
            data[j * k + i] = (float)(rt_onnx_element(&codes, (size_t)(j * blocks * block + i)) - middle) * s;
        }
    }
    out->x = rt_onnx_input(node, 0);
    out->weight = (rt_onnx_weight){.tensor = {.name = b->name, .data = data, .rank = 2, .shape = {n, k}},
                                   .transposed = true};
    return rt_onnx_input(node, 5)[0] == '\0' || rt_onnx_weight_of(m, rt_onnx_input(node, 5), &out->bias);
}

bool rt_onnx_integers(rt_onnx_match *m, const char *codes, const char *scale, const char *zero,
                      rt_onnx_weight *out) {
    const rt_onnx_tensor *t = rt_onnx_constant(m, codes);
    const rt_onnx_tensor *factor = rt_onnx_constant(m, scale);
    *out = (rt_onnx_weight){0};
    return rt_onnx_is_integer(t) && factor != NULL &&
           dequantized(m, t, factor, rt_onnx_constant(m, zero), 1, 0, &out->tensor);
}

/* For MatMulInteger and its fused forms. */
static bool integer_weight(rt_onnx_match *m, const char *weight, const char *scale, const char *zero,
                           rt_onnx_linear *out) {
    return rt_onnx_integers(m, weight, scale, zero, &out->weight) && out->weight.tensor.rank == 2;
}

/* Cast(MatMulInteger(codes of x, w)) (scale of x · scale of w) */
static bool dynamic_product(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_linear *out) {
    for (size_t side = 0; side < 2; side++) {
        const rt_onnx_node *product = rt_onnx_made_by(m, rt_onnx_input(node, side), "MatMulInteger");
        const rt_onnx_node *scale = rt_onnx_made_by(m, rt_onnx_input(node, 1 - side), "Mul");
        const rt_onnx_node *codes = product != NULL ? rt_onnx_maker(m, rt_onnx_input(product, 0)) : NULL;
        if (scale == NULL || !rt_onnx_is(codes, "DynamicQuantizeLinear")) continue;
        bool first = rt_onnx_constant(m, rt_onnx_input(scale, 0)) != NULL;
        out->x = rt_onnx_input(codes, 0);
        return integer_weight(m, rt_onnx_input(product, 1), rt_onnx_input(scale, first ? 0 : 1),
                              rt_onnx_input(product, 3), out);
    }
    return false;
}

static bool fused_dynamic(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_linear *out) {
    bool whole = rt_onnx_is(node, "DynamicQuantizeMatMul");
    const rt_onnx_node *codes = whole ? node : rt_onnx_maker(m, rt_onnx_input(node, 0));
    if (!whole && !rt_onnx_is(codes, "DynamicQuantizeLinear")) return false;
    size_t scale = whole ? 2 : 3, zero = whole ? 3 : 5, bias = whole ? 4 : 6;
    out->x = rt_onnx_input(codes, 0);
    return integer_weight(m, rt_onnx_input(node, 1), rt_onnx_input(node, scale), rt_onnx_input(node, zero),
                          out) &&
           (rt_onnx_input(node, bias)[0] == '\0' ||
            rt_onnx_weight_of(m, rt_onnx_input(node, bias), &out->bias));
}

/* Whether x is rounded to codes of which the lowest is 0, as ONNX Runtime's quantiser does in the place of
 * Relu. */
static bool cut_at_zero(const rt_onnx_match *m, const char *x) {
    const char *codes = rt_onnx_rounding(m, x);
    const rt_onnx_node *to = codes != NULL ? rt_onnx_made_by(m, codes, "QuantizeLinear") : NULL;
    const rt_onnx_tensor *zero = to != NULL ? rt_onnx_constant(m, rt_onnx_input(to, 2)) : NULL;
    size_t count;
    if (zero == NULL || !rt_shape_count(zero->dims, zero->rank, &count) || count != 1) return false;
    int64_t lowest = zero->type == RT_ONNX_INT8 ? INT8_MIN : 0;
    return (zero->type == RT_ONNX_INT8 || zero->type == RT_ONNX_UINT8) && rt_onnx_element(zero, 0) == lowest;
}

static bool product(rt_onnx_match *m, const rt_onnx_node *node, rt_onnx_linear *out) {
    static const struct {
        const char *op;
        bool (*match)(rt_onnx_match *, const rt_onnx_node *, rt_onnx_linear *);
    } rows[] = {
        {"MatMul", matmul},
        {"FusedMatMul", matmul},
        {"Gemm", gemm},
        {"FusedGemm", gemm},
        {"MatMulNBits", n_bits},
        {"Mul", dynamic_product},
        {"DynamicQuantizeMatMul", fused_dynamic},
        {"MatMulIntegerToFloat", fused_dynamic},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rt_onnx_is(node, rows[i].op) || !rows[i].match(m, node, out)) continue;
        out->cut = cut_at_zero(m, out->x);
        out->x = rt_onnx_unrounded(m, out->x);
        return true;
    }
    return false;
}

bool rt_onnx_match_linear(rt_onnx_match *m, const char *value, rt_onnx_linear *out) {
    const rt_onnx_node *node = rt_onnx_maker(m, value);
    *out = (rt_onnx_linear){0};
    if (!rt_onnx_is(node, "Add")) return product(m, node, out);
    for (size_t side = 0; side < 2; side++) {
        rt_onnx_weight bias;
        if (!rt_onnx_weight_of(m, rt_onnx_input(node, side), &bias) || bias.tensor.rank != 1) continue;
        bool found =
            product(m, rt_onnx_maker(m, rt_onnx_input(node, 1 - side)), out) && out->bias.tensor.data == NULL;
        out->bias = bias;
        return found;
    }
    return false;
}
