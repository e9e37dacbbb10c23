/* SPDX-License-Identifier: Apache-2.0
 * ONNX Runtime's fused operators (domain com.microsoft), taken apart into plain ones. Their inputs and attributes:
 * docs/ContribOperators.md of ONNX Runtime. */
#include "onnx/reader.h"

#include <math.h>
#include <string.h>

/* ---- Activations and norms ---- */

/* gelu(x + bias) */
static bool bias_gelu(rt_onnx_reader *r, const rt_onnx_node *node, bool tanh) {
    int x = rt_read_value(r, node, 0), bias = rt_read_value(r, node, 1);
    if (x < 0) return false;
    if (bias >= 0) x = rt_read_emit2(r, RT_OP_ADD, x, bias);
    return rt_read_as(r, node, 0, rt_read_gelu(r, x, tanh));
}

static bool gelu(rt_onnx_reader *r, const rt_onnx_node *node) {
    return bias_gelu(r, node, false);
}

static bool fast_gelu(rt_onnx_reader *r, const rt_onnx_node *node) {
    return bias_gelu(r, node, true);
}

static int norm(rt_onnx_reader *r, const rt_onnx_node *node, int x, int gamma, int beta) {
    rt_attrs attrs = {.epsilon = rt_read_real(node, "epsilon", 1e-12f)};
    return rt_read_emit(r, RT_OP_LAYER_NORMALIZATION, 3, (int[]){x, gamma, beta}, &attrs);
}

/* (x, skip, gamma, beta, bias): LayerNorm(x + bias + skip); output 3 is the sum. */
static bool skip_layer_norm(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0), skip = rt_read_value(r, node, 1), bias = rt_read_value(r, node, 4);
    int gamma = rt_read_value(r, node, 2), beta = rt_read_value(r, node, 3);
    if (x < 0 || skip < 0 || gamma < 0 || beta < 0) return rt_read_refuse(r, "x, skip, gamma and beta");
    if (bias >= 0) x = rt_read_emit2(r, RT_OP_ADD, x, bias);
    int sum = rt_read_emit2(r, RT_OP_ADD, x, skip);
    if (node->output_count > 3 && !rt_read_as(r, node, 3, sum)) return false;
    return rt_read_as(r, node, 0, norm(r, node, sum, gamma, beta));
}

/* ---- Embeddings ---- */

/* Input `index`, of QEmbedLayerNormalization integers, whose scale is 6 and whose zero point 11 inputs further. */
static int table(rt_onnx_reader *r, const rt_onnx_node *node, size_t index) {
    if (node->op[0] != 'Q') return rt_read_value(r, node, index);
    return rt_read_dequantized(r, rt_read_tensor(r->index, rt_read_input(node, index)),
                               rt_read_tensor(r->index, rt_read_input(node, index + 6)),
                               rt_read_tensor(r->index, rt_read_input(node, index + 11)), 1, 0);
}

/* (ids, types, words, positions, types' table, gamma, beta, mask, places); output 1 is the length of each text. */
static bool embed_layer_norm(rt_onnx_reader *r, const rt_onnx_node *node) {
    int ids = rt_read_value(r, node, 0), types = rt_read_value(r, node, 1);
    bool placed = node->op[0] != 'Q' && rt_read_input(node, 8)[0] != '\0';
    if (ids < 0) return false;
    if (r->batch != NULL) { /* only the lengths are asked for */
        int mask = rt_read_value(r, node, 7);
        int real = mask < 0 ? -1 : rt_read_emit(r, RT_OP_CAST, 1, &mask, &(rt_attrs){.dtype = RETORT_F32});
        int axis = rt_read_ints(r, 1, (int64_t[]){1});
        int sum = real < 0 ? -1 : rt_read_emit2(r, RT_OP_REDUCE_SUM, real, axis);
        return sum >= 0 &&
               rt_read_as(r, node, 1, rt_read_emit(r, RT_OP_CAST, 1, &sum, &(rt_attrs){.dtype = RETORT_I64}));
    }
    rt_attrs rows = {.axis = 0};
    int word = table(r, node, 2), position = table(r, node, 3), gamma = table(r, node, 5),
        beta = table(r, node, 6);
    if (word < 0 || position < 0 || gamma < 0 || beta < 0) return false;
    int x = rt_read_emit(r, RT_OP_GATHER, 2, (int[]){word, ids}, &rows);
    if (types >= 0) {
        int type = table(r, node, 4);
        if (type < 0) return false;
        x = rt_read_emit2(r, RT_OP_ADD, x, rt_read_emit(r, RT_OP_GATHER, 2, (int[]){type, types}, &rows));
    }
    int64_t offset = 0;
    int places = placed ? rt_read_places(r, node, 8, &offset) : rt_read_positions(r);
    x = rt_read_emit2(r, RT_OP_ADD, x, rt_read_rows(r, position, places, offset, 0));
    return rt_read_as(r, node, 0, norm(r, node, x, gamma, beta));
}

/* ---- Products ---- */

/* alpha x w; exporters do not use transA and the batch variants for weights of encoders. */
static bool fused_matmul(rt_onnx_reader *r, const rt_onnx_node *node) {
    int a = rt_read_value(r, node, 0), b = rt_read_value(r, node, 1);
    float alpha = rt_read_real(node, "alpha", 1);
    if (a < 0 || b < 0) return false;
    if (rt_read_int(node, "transA", 0) != 0 || rt_read_int(node, "transBatchA", 0) != 0 ||
        rt_read_int(node, "transBatchB", 0) != 0)
        return rt_read_refuse(r, "the left side as it is");
    if (rt_read_int(node, "transB", 0) != 0) {
        const rt_value *v = &r->graph->values[b];
        bool constant = rt_value_is_constant(v);
        rt_attrs attrs = {.perm_count = v->rank, .perm = {0, 1, 3, 2}};
        if (!constant && v->rank != 4) return rt_read_refuse(r, "keys of four dims, or a constant");
        b = constant ? rt_read_turned(r, b) : rt_read_emit(r, RT_OP_TRANSPOSE, 1, &b, &attrs);
        if (b < 0) return false;
    }
    int out = rt_read_emit2(r, RT_OP_MATMUL, a, b);
    if (alpha != 1) out = rt_read_emit2(r, RT_OP_MUL, out, rt_read_scalar(r, alpha));
    return rt_read_as(r, node, 0, out);
}

/* activation(Gemm) */
static bool fused_gemm(rt_onnx_reader *r, const rt_onnx_node *node) {
    const char *name = rt_read_text(node, "activation");
    bool relu = strcmp(name, "Relu") == 0;
    if (!relu && strcmp(name, "Tanh") != 0) return rt_read_refuse(r, "Relu or Tanh");
    rt_onnx_node gemm = *node;
    gemm.op = "Gemm";
    gemm.domain = "";
    if (!rt_read_operator(&gemm)(r, &gemm)) return false;
    return rt_read_as(
        r, node, 0,
        rt_read_emit1(r, relu ? RT_OP_RELU : RT_OP_TANH,
                      rt_read_of(r, &(rt_onnx_node){.inputs = node->outputs, .input_count = 1}, 0)->value));
}

/* ---- Attention ---- */

/* [batch, seq, hidden] as [batch, heads, seq, dim], or keys [batch, heads, dim, seq]. */
static int heads_of(rt_onnx_reader *r, int x, int64_t heads, int64_t dim, bool keys) {
    rt_attrs attrs = {.perm_count = 4, .perm = {0, 2, keys ? 3 : 1, keys ? 1 : 3}};
    int split = rt_read_emit2(r, RT_OP_RESHAPE, x, rt_read_ints(r, 4, (int64_t[]){0, 0, heads, dim}));
    return rt_read_emit(r, RT_OP_TRANSPOSE, 1, &split, &attrs);
}

/* Softmax(q k scale + mask) v, from and to [batch, seq, hidden]. */
static int attention(rt_onnx_reader *r, const rt_onnx_node *node, int q, int k, int v, int mask) {
    int64_t heads = rt_read_int(node, "num_heads", 0), hidden = q >= 0 ? r->graph->values[q].dims[2] : 0;
    float given = rt_read_real(node, "scale", 0);
    if (heads <= 0 || hidden <= 0 || hidden % heads != 0)
        return rt_read_refuse(r, "heads that divide the hidden size"), -1;
    int64_t dim = hidden / heads;
    int scores =
        rt_read_emit2(r, RT_OP_MATMUL, heads_of(r, q, heads, dim, false), heads_of(r, k, heads, dim, true));
    scores = given != 0 ? rt_read_emit2(r, RT_OP_MUL, scores, rt_read_scalar(r, given))
                        : rt_read_emit2(r, RT_OP_DIV, scores, rt_read_scalar(r, sqrtf((float)dim)));
    scores = rt_read_emit2(r, RT_OP_ADD, scores, mask);
    int softmax = rt_read_emit(r, RT_OP_SOFTMAX, 1, &scores, &(rt_attrs){.axis = -1});
    int context = rt_read_emit2(r, RT_OP_MATMUL, softmax, heads_of(r, v, heads, dim, false));
    int rows =
        rt_read_emit(r, RT_OP_TRANSPOSE, 1, &context, &(rt_attrs){.perm_count = 4, .perm = {0, 2, 1, 3}});
    return rt_read_emit2(r, RT_OP_RESHAPE, rows, rt_read_ints(r, 3, (int64_t[]){0, 0, hidden}));
}

/* The mask of keys that is added to the scores, from attention_mask itself, the lengths of texts, or a value
 * recognised as a mask. */
static int mask_of(rt_onnx_reader *r, const rt_onnx_node *node, size_t keys, size_t added) {
    const rt_read *read = rt_read_of(r, node, keys);
    int at = rt_read_find(r->index, rt_read_input(node, keys));
    if (read != NULL && read->kind == RT_READ_NOT) rt_read_value(r, node, keys);
    bool plain = read != NULL && at >= 0 && r->index->sources[at].input &&
                 (r->index->sources[at].from & RT_FROM_MASK) != 0;
    bool kept = read != NULL && read->kind == RT_READ_VALUE && read->value == r->key_masks[RT_KEYS_KEPT] &&
                read->value >= 0;
    if (read != NULL && rt_read_input(node, added)[0] != '\0')
        return rt_read_refuse(r, "a mask of keys, and no bias besides"), -1;
    if (plain || kept) return rt_read_key_mask(r, RT_KEYS_ADDED);
    const rt_read *sum = rt_read_of(r, node, added);
    if (read == NULL && sum != NULL && sum->kind == RT_READ_VALUE &&
        sum->value == r->key_masks[RT_KEYS_ADDED] && sum->value >= 0)
        return sum->value;
    if (read != NULL && read->kind == RT_READ_VALUE && read->value == r->key_masks[RT_KEYS_ADDED] &&
        read->value >= 0)
        return read->value;
    return rt_read_refuse(r, "a mask of keys"), -1;
}

/* What encoders do not have: a past, causal masks, rotary embeddings. */
static bool is_plain(rt_onnx_reader *r, const rt_onnx_node *node, const size_t *absent) {
    bool plain = rt_read_int(node, "unidirectional", 0) == 0 && rt_read_int(node, "do_rotary", 0) == 0;
    const rt_onnx_attr *sizes = rt_onnx_attribute(node, "qkv_hidden_sizes");
    for (size_t i = 0; sizes != NULL && i < sizes->count; i++)
        plain = plain && sizes->ints[i] == sizes->ints[0];
    for (; *absent != 0; absent++) plain = plain && rt_read_input(node, *absent)[0] == '\0';
    return plain || rt_read_refuse(r, "attention to all tokens, without a past");
}

/* The columns of a constant [rows, columns] or [columns]; 0: it is none. */
static int64_t columns_of(const rt_onnx_reader *r, int value) {
    const rt_value *v = value >= 0 ? &r->graph->values[value] : NULL;
    return v != NULL && (v->rank == 1 || v->rank == 2) ? v->dims[v->rank - 1] : 0;
}

/* x times a third of the weight [hidden, 3 n], plus that third of the bias [3 n] */
static int third(rt_onnx_reader *r, int x, int weight, int bias, int64_t i) {
    int64_t columns = columns_of(r, weight), n = columns / 3;
    bool fits = n > 0 && columns == 3 * n && (bias < 0 || columns_of(r, bias) == columns);
    int part = fits ? rt_read_columns(r, weight, i * n, n) : -1,
        more = fits && bias >= 0 ? rt_read_columns(r, bias, i * n, n) : -1;
    if (part < 0 || (bias >= 0 && more < 0))
        return rt_read_refuse(r, "a weight [hidden, 3 hidden], and a bias to match"), -1;
    return rt_read_linear(r, x, part, more);
}

static bool of_thirds(rt_onnx_reader *r, const rt_onnx_node *node, int x, int weight, int bias, int mask) {
    int q = third(r, x, weight, bias, 0), k = third(r, x, weight, bias, 1), v = third(r, x, weight, bias, 2);
    if (q < 0 || k < 0 || v < 0 || mask < 0) return false;
    return rt_read_as(r, node, 0, attention(r, node, q, k, v, mask));
}

/* (x, weight [hidden, 3 hidden], bias, mask, past, attention bias, past length) */
static bool fused_attention(rt_onnx_reader *r, const rt_onnx_node *node) {
    int x = rt_read_value(r, node, 0), weight = rt_read_value(r, node, 1), bias = rt_read_value(r, node, 2);
    if (x < 0 || weight < 0 || !is_plain(r, node, (const size_t[]){4, 6, 0})) return false;
    return of_thirds(r, node, x, weight, bias, mask_of(r, node, 3, 5));
}

/* (codes of x, codes of the weight, bias, scale of x, scale, mask, zero point of x, zero point, past) */
static bool integer_attention(rt_onnx_reader *r, const rt_onnx_node *node) {
    const rt_read *x = rt_read_of(r, node, 0);
    if (x == NULL || x->kind != RT_READ_CODES || !is_plain(r, node, (const size_t[]){8, 0}))
        return rt_read_refuse(r, "rounded activations");
    if (!rt_read_is_scaled(r, node, x, 3, 6)) return false;
    int value = x->value, bias = rt_read_value(r, node, 2);
    int weight = rt_read_dequantized(r, rt_read_tensor(r->index, rt_read_input(node, 1)),
                                     rt_read_tensor(r->index, rt_read_input(node, 4)),
                                     rt_read_tensor(r->index, rt_read_input(node, 7)), 1, 0);
    return weight >= 0 && of_thirds(r, node, value, weight, bias, mask_of(r, node, 5, SIZE_MAX));
}

/* (q, k, v, bias [3 hidden], mask, attention bias, past key, past value) */
static bool multi_head_attention(rt_onnx_reader *r, const rt_onnx_node *node) {
    int parts[3], bias = rt_read_value(r, node, 3);
    if (!is_plain(r, node, (const size_t[]){6, 7, 0})) return false;
    for (size_t i = 0; i < 3; i++) {
        parts[i] = rt_read_value(r, node, i);
        if (parts[i] < 0 || r->graph->values[parts[i]].rank != 3)
            return rt_read_refuse(r, "q, k and v [batch, seq, hidden]");
        int64_t n = r->graph->values[parts[i]].dims[2];
        if (bias >= 0 && columns_of(r, bias) != 3 * n) return rt_read_refuse(r, "a bias [3 hidden]");
        int more = bias >= 0 ? rt_read_columns(r, bias, (int64_t)i * n, n) : -1;
        if (bias >= 0) parts[i] = rt_read_emit2(r, RT_OP_ADD, parts[i], more);
    }
    int mask = mask_of(r, node, 4, 5);
    return mask >= 0 && rt_read_as(r, node, 0, attention(r, node, parts[0], parts[1], parts[2], mask));
}

rt_reader_fn rt_read_microsoft(const rt_onnx_node *node) {
    static const rt_read_row rows[] = {
        {"Attention", fused_attention},
        {"BiasGelu", gelu},
        {"EmbedLayerNormalization", embed_layer_norm},
        {"FastGelu", fast_gelu},
        {"FusedGemm", fused_gemm},
        {"FusedMatMul", fused_matmul},
        {"Gelu", gelu},
        {"MultiHeadAttention", multi_head_attention},
        {"QAttention", integer_attention},
        {"QEmbedLayerNormalization", embed_layer_norm},
        {"SkipLayerNormalization", skip_layer_norm},
    };
    return strcmp(node->domain, "com.microsoft") == 0
               ? rt_read_find_row(rows, sizeof rows / sizeof *rows, node->op)
               : NULL;
}
