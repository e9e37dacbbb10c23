/* SPDX-License-Identifier: Apache-2.0
 * Fused operators as standard ones, on padded rows [batch, sequence, …] whatever the level. */
#include "onnx/writer.h"

#include <math.h>

/* What becomes s8 is x * factor + add where the node has these as inputs `factor` and the next. */
static void put_scaled(rt_onnx_writer *w, const rt_node *node, int factor, const char *x) {
    if (factor >= node->input_count || node->inputs[factor] < 0) return;
    const char *scaled = rt_put2(w, "Mul", "factor", x, rt_put_value(w, node->inputs[factor]));
    scaled = rt_put2(w, "Add", "moved", scaled, rt_put_value(w, node->inputs[factor + 1]));
    w->names[node->outputs[node->output_count - 1]] = scaled;
}

void rt_put_convert(rt_onnx_writer *w, const rt_node *node) {
    rt_put_alias(w, node);
    put_scaled(w, node, CONVERT_CHANNEL_SCALE, rt_put_value(w, node->inputs[CONVERT_X]));
}

void rt_put_alias(rt_onnx_writer *w, const rt_node *node) {
    rt_put_output(w, node, rt_put_value(w, node->inputs[0]));
}

/* x / sqrt(mean(x²) + epsilon) gamma */
static const char *rms(rt_onnx_writer *w, const char *x, const char *gamma, float epsilon) {
    int64_t last[] = {-1};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("keepdims", 1), RT_ONNX_INTS("axes", last, 1)};
    bool input = w->opset >= 18; /* axes are an attribute before */
    const char *inputs[] = {rt_put2(w, "Mul", "squares", x, x),
                            input ? rt_put_ints(w, "axes", 1, last) : NULL};
    const char *mean = rt_put(w, "ReduceMean", "mean", input ? 2 : 1, inputs, input ? 1 : 2, attrs);
    const char *more = rt_put2(w, "Add", "more", mean, rt_put_scalar(w, "epsilon", epsilon));
    const char *normal = rt_put2(w, "Div", "normal", x, rt_put1(w, "Sqrt", "root", more));
    return rt_put2(w, "Mul", "scaled", normal, gamma);
}

void rt_put_norm(rt_onnx_writer *w, const char *x, int gamma, int beta, float epsilon, const rt_node *node) {
    if (gamma < 0 || beta < 0) {
        rt_put_output(w, node, gamma < 0 ? x : rms(w, x, rt_put_value(w, gamma), epsilon));
        return;
    }
    const char *inputs[] = {x, rt_put_value(w, gamma), rt_put_value(w, beta)};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("axis", -1), RT_ONNX_REAL("epsilon", epsilon)};
    rt_put_output(w, node, rt_put(w, "LayerNormalization", "norm", 3, inputs, 2, attrs));
}

void rt_put_layer_norm(rt_onnx_writer *w, const rt_node *node) {
    if (!w->options->fused || !rt_put_fused_norm(w, node)) {
        rt_put_norm(w, rt_put_value(w, node->inputs[LAYER_NORM_X]), node->inputs[LAYER_NORM_GAMMA],
                    rt_operand(node, LAYER_NORM_BETA), node->attrs.epsilon, node);
    }
    put_scaled(w, node, LAYER_NORM_CHANNEL_SCALE, rt_put_value(w, node->outputs[0]));
}

/* ---- Embeddings ---- */

static const char *gather(rt_onnx_writer *w, const char *leaf, int table, const char *ids) {
    const char *inputs[] = {rt_put_value(w, table), ids};
    return rt_put(w, "Gather", leaf, 2, inputs, 1, &RT_ONNX_INT("axis", 0));
}

/* The first rows of the table of positions, as many as the padded length, [sequence, hidden] */
static const char *positions(rt_onnx_writer *w, int table) {
    const char *ids = "input_ids";
    rt_onnx_attr from[] = {RT_ONNX_INT("start", 1), RT_ONNX_INT("end", 2)};
    const char *length = rt_put(w, "Shape", "length", 1, &ids, 2, from);
    const char *zero = rt_put_ints(w, "zero", 1, (int64_t[]){0});
    const char *inputs[] = {rt_put_value(w, table), zero, length, zero};
    return rt_put(w, "Slice", "position", 4, inputs, 0, NULL);
}

/* The rows of a table whose first is that of padding, which others do not count. */
static const char *counted_positions(rt_onnx_writer *w, const rt_node *node) {
    int64_t *numbers = rt_put_alloc(w, 2, sizeof *numbers);
    if (numbers == NULL) return "";
    numbers[0] = node->attrs.after_pad - 1;
    numbers[1] = 1;
    const char *pad = rt_put_tensor(w, "pad.id", RT_ONNX_INT64, 0, NULL, numbers, sizeof *numbers);
    const char *one = rt_put_tensor(w, "one", RT_ONNX_INT64, 0, NULL, numbers + 1, sizeof *numbers);
    const char *equal = rt_put2(w, "Equal", "pad", "input_ids", pad);
    const char *whole = rt_put(w, "Cast", "pad.cast", 1, &equal, 1, &RT_ONNX_INT("to", RT_ONNX_INT64));
    const char *counts = rt_put2(w, "Sub", "counts", one, whole);
    const char *sums = rt_put2(w, "CumSum", "count", counts, rt_put_ints(w, "axis", 1, (int64_t[]){1}));
    return gather(w, "position", node->inputs[EMBED_POSITION], rt_put2(w, "Mul", "places", sums, counts));
}

void rt_put_embed(rt_onnx_writer *w, const rt_node *node) {
    if (w->options->fused && rt_put_fused_embed(w, node)) return;
    const char *x = rt_operand(node, EMBED_WORD_SCALE) >= 0
                        ? rt_put_integer_word(w, node)
                        : gather(w, "word", node->inputs[EMBED_WORD], "input_ids");
    if (rt_operand(node, EMBED_TYPE) >= 0) {
        x = rt_put2(w, "Add", "add.type", x, gather(w, "type", node->inputs[EMBED_TYPE], "token_type_ids"));
    }
    if (rt_operand(node, EMBED_POSITION) >= 0) {
        bool counted = node->attrs.after_pad != 0;
        const char *rows = counted ? counted_positions(w, node) : positions(w, node->inputs[EMBED_POSITION]);
        if (rt_operand(node, EMBED_POSITION_SCALE) >= 0) rows = rt_put_integer_position(w, node, rows);
        x = rt_put2(w, "Add", "add.position", x, rows);
    }
    rt_put_norm(w, x, rt_operand(node, EMBED_GAMMA), rt_operand(node, EMBED_BETA), node->attrs.epsilon, node);
    put_scaled(w, node, EMBED_CHANNEL_SCALE, rt_put_value(w, node->outputs[0]));
}

/* ---- Linear ---- */

static const char *by(rt_onnx_writer *w, const char *op, const char *leaf, const char *x,
                      const char *constant, float value) {
    return rt_put2(w, op, leaf, x, rt_put_scalar(w, constant, value));
}

/* x/2 (1 + erf(x/√2)), in the order that engines know */
static const char *gelu(rt_onnx_writer *w, const char *x) {
    const char *erf = rt_put1(w, "Erf", "gelu.erf", by(w, "Div", "gelu.div", x, "gelu.root", 0x1.6a09e6p+0f));
    const char *one = by(w, "Add", "gelu.add", erf, "gelu.one", 1);
    return by(w, "Mul", "gelu.half", rt_put2(w, "Mul", "gelu.mul", x, one), "gelu.0.5", 0.5f);
}

/* x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))) */
static const char *gelu_tanh(rt_onnx_writer *w, const char *x) {
    const char *half = by(w, "Mul", "gelu.half", x, "gelu.0.5", 0.5f);
    const char *cube = by(w, "Pow", "gelu.cube", x, "gelu.3", 3);
    const char *inner =
        rt_put2(w, "Add", "gelu.inner", x, by(w, "Mul", "gelu.cubic", cube, "gelu.c", 0.044715f));
    const char *scaled = by(w, "Mul", "gelu.scaled", inner, "gelu.root", (float)sqrt(2 / M_PI));
    const char *one = by(w, "Add", "gelu.add", rt_put1(w, "Tanh", "gelu.tanh", scaled), "gelu.one", 1);
    return rt_put2(w, "Mul", "gelu.mul", half, one);
}

static const char *relu(rt_onnx_writer *w, const char *x) {
    return rt_put1(w, "Relu", "relu", x);
}
static const char *tanh_of(rt_onnx_writer *w, const char *x) {
    return rt_put1(w, "Tanh", "tanh", x);
}

static const char *silu(rt_onnx_writer *w, const char *x) {
    return rt_put2(w, "Mul", "silu", x, rt_put1(w, "Sigmoid", "sigmoid", x));
}

const char *rt_put_activation(rt_onnx_writer *w, rt_act act, const char *x) {
    static const char *(*const acts[])(rt_onnx_writer *, const char *) = {
        [RT_FN_GELU] = gelu,    [RT_FN_GELU_TANH] = gelu_tanh, [RT_FN_RELU] = relu,
        [RT_FN_TANH] = tanh_of, [RT_FN_SILU] = silu,           [RT_FN_GELU_SHORT] = gelu,
    };
    return act == RT_FN_NONE ? x : acts[act](w, x);
}

/* A matrix of blocks on the diagonal: its blocks [heads, k, n / heads], from the columns of [k, n]. Engines
 * fold the two nodes; the matrix stays what it is in our files. */
static const char *blocks(rt_onnx_writer *w, const rt_node *node, bool integers) {
    const rt_value *v = &w->graph->values[node->inputs[LINEAR_WEIGHT]];
    int64_t heads = node->attrs.heads;
    const int64_t perm[] = {1, 0, 2}, dims[] = {v->dims[0], heads, v->dims[1] / heads};
    const char *rows =
        integers ? rt_put_integer_weight(w, node) : rt_put_value(w, node->inputs[LINEAR_WEIGHT]);
    const char *columns = rt_put_reshape(w, "columns", rows, 3, dims);
    return rt_put(w, "Transpose", "blocks", 1, &columns, 1, &RT_ONNX_INTS("perm", perm, 3));
}

/* x [batch (, sequence), heads k] times the blocks */
static const char *block_product(rt_onnx_writer *w, const rt_node *node, bool integers) {
    const char *x = integers ? rt_put_integer_x(w, node) : rt_put_value(w, node->inputs[LINEAR_X]);
    const rt_value *weight = &w->graph->values[node->inputs[LINEAR_WEIGHT]];
    size_t lead = (size_t)rt_put_rank(w, node->inputs[LINEAR_X]) - 1;
    int64_t heads = node->attrs.heads, split[5] = {0}, joined[3] = {0};
    split[lead] = heads;
    split[lead + 1] = 1;
    split[lead + 2] = weight->dims[0];
    joined[lead] = weight->dims[1];
    x = rt_put_reshape(w, "split", x, lead + 3, split);
    x = rt_put2(w, "MatMul", "matmul", x, blocks(w, node, integers));
    return rt_put_reshape(w, "join", x, lead + 1, joined);
}

static const char *product(rt_onnx_writer *w, const rt_node *node) {
    bool integers = rt_operand(node, LINEAR_SCALE) >= 0;
    if (node->attrs.heads > 0) return block_product(w, node, integers);
    if (integers) return rt_put_integer_product(w, node);
    return rt_put2(w, "MatMul", "matmul", rt_put_value(w, node->inputs[LINEAR_X]),
                   rt_put_value(w, node->inputs[LINEAR_WEIGHT]));
}

/* x w + b: one node where x is a matrix of floats, a row a sequence. */
static const char *biased(rt_onnx_writer *w, const rt_node *node) {
    const char *bias = rt_put_value(w, rt_operand(node, LINEAR_BIAS));
    bool matrix = rt_put_rank(w, node->inputs[LINEAR_X]) == 2 && rt_operand(node, LINEAR_SCALE) < 0 &&
                  node->attrs.heads == 0;
    if (!matrix || bias[0] == '\0') {
        const char *x = product(w, node);
        return bias[0] == '\0' ? x : rt_put2(w, "Add", "add", x, bias);
    }
    const char *inputs[] = {rt_put_value(w, node->inputs[LINEAR_X]),
                            rt_put_value(w, node->inputs[LINEAR_WEIGHT]), bias};
    return rt_put(w, "Gemm", "gemm", 3, inputs, 0, NULL);
}

void rt_put_linear(rt_onnx_writer *w, const rt_node *node) {
    if (w->options->fused && rt_put_fused_linear(w, node)) return;
    const char *x = biased(w, node);
    x = node->attrs.gate ? rt_put_gate(w, node, x) : rt_put_activation(w, node->attrs.act, x);
    if (node->attrs.rotate > 0) x = rt_put_turns(w, node, x);
    if (rt_operand(node, LINEAR_RESIDUAL) >= 0)
        x = rt_put2(w, "Add", "residual", x, rt_put_value(w, node->inputs[LINEAR_RESIDUAL]));
    rt_put_output(w, node, x);
}

/* ---- Rows ---- */

static const char *sum(rt_onnx_writer *w, const char *leaf, const char *x, const char *axes, bool keep) {
    return rt_put(w, "ReduceSum", leaf, 2, (const char *[]){x, axes}, 1, &RT_ONNX_INT("keepdims", keep));
}

static const char *max(rt_onnx_writer *w, const char *leaf, const char *x, bool keep) {
    const char *inputs[] = {x, rt_put_ints(w, "rows", 1, (int64_t[]){1})};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("keepdims", keep), RT_ONNX_INTS("axes", ((int64_t[]){1}), 1)};
    bool input = w->opset >= 18;
    return rt_put(w, "ReduceMax", leaf, input ? 2 : 1, inputs, input ? 1 : 2, attrs);
}

/* The sum of rows times 1 for the last token, where the running count of the mask is the largest, and else 0 */
static void put_last(rt_onnx_writer *w, const rt_node *node) {
    const char *x = rt_put_value(w, node->inputs[SELECT_X]), *tokens = rt_put_float_mask(w);
    const char *one = rt_put_ints(w, "one", 1, (int64_t[]){1}),
               *last = rt_put_ints(w, "last", 1, (int64_t[]){-1});
    const char *count = rt_put2(w, "CumSum", "count", "attention_mask", one);
    const char *place = rt_put(w, "Cast", "place", 1, &count, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    const char *equal = rt_put2(w, "Equal", "equal", place, max(w, "most", place, true));
    const char *after = rt_put(w, "Cast", "after", 1, &equal, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    const char *wide = rt_put2(w, "Unsqueeze", "wide", rt_put2(w, "Mul", "is_last", after, tokens), last);
    rt_put_output(w, node, sum(w, "sum", rt_put2(w, "Mul", "mul", x, wide), one, false));
}

void rt_put_select(rt_onnx_writer *w, const rt_node *node) {
    if (node->attrs.select == RT_SELECT_LAST) {
        put_last(w, node);
        return;
    }
    if (node->attrs.select != RT_SELECT_FIRST) {
        rt_put_alias(w, node);
        return;
    }
    int64_t *zero = rt_put_alloc(w, 1, sizeof *zero);
    const char *inputs[] = {rt_put_value(w, node->inputs[SELECT_X]),
                            rt_put_tensor(w, "index", RT_ONNX_INT64, 0, NULL, zero, sizeof *zero)};
    rt_put_output(w, node, rt_put(w, "Gather", "first", 2, inputs, 1, &RT_ONNX_INT("axis", 1)));
}

/* As sentence-transformers does: padding counts nothing. */
void rt_put_pool(rt_onnx_writer *w, const rt_node *node) {
    const char *x = rt_put_value(w, node->inputs[POOL_X]), *mask = rt_put_float_mask(w);
    const char *last = rt_put_ints(w, "last", 1, (int64_t[]){-1}),
               *one = rt_put_ints(w, "one", 1, (int64_t[]){1});
    const char *wide = rt_put2(w, "Unsqueeze", "mask", mask, last);
    if (node->attrs.pool == RT_REDUCE_WEIGHTED_MEAN) { /* the mask becomes 1, 2, 3, … */
        const char *count = rt_put2(w, "CumSum", "count", "attention_mask", one);
        const char *place = rt_put(w, "Cast", "place", 1, &count, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
        mask = rt_put2(w, "Mul", "weights", mask, place);
        wide = rt_put2(w, "Unsqueeze", "wide", mask, last);
    }
    if (node->attrs.pool == RT_REDUCE_SUM_ROWS) {
        rt_put_output(w, node, sum(w, "sum", rt_put2(w, "Mul", "mul", x, wide), one, false));
        return;
    }
    if (node->attrs.pool != RT_REDUCE_MAX) {
        const char *total = sum(w, "sum", rt_put2(w, "Mul", "mul", x, wide), one, false);
        const char *count = sum(w, "total", mask, one, true);
        const char *divisor = by(w, "Max", "clamp", count, "least", 1e-9f);
        if (node->attrs.pool == RT_REDUCE_MEAN_SQRT) divisor = rt_put1(w, "Sqrt", "root", divisor);
        rt_put_output(w, node, rt_put2(w, "Div", "mean", total, divisor));
        return;
    }
    const char *read = rt_put2(w, "Equal", "padding", wide, rt_put_scalar(w, "zero", 0));
    const char *inputs[] = {read, rt_put_scalar(w, "low", -1e9f), x};
    x = rt_put(w, "Where", "where", 3, inputs, 0, NULL);
    rt_put_output(w, node, max(w, "max", x, false));
}

/* x / max(|x|, 1e-12) */
void rt_put_normalize(rt_onnx_writer *w, const rt_node *node) {
    const char *x = rt_put_value(w, node->inputs[NORMALIZE_X]),
               *last = rt_put_ints(w, "last", 1, (int64_t[]){-1});
    const char *length =
        rt_put1(w, "Sqrt", "sqrt", sum(w, "sum", rt_put2(w, "Mul", "square", x, x), last, true));
    rt_put_output(w, node, rt_put2(w, "Div", "div", x, by(w, "Max", "clamp", length, "least", 1e-12f)));
}
