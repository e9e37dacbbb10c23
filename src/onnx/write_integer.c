/* SPDX-License-Identifier: Apache-2.0
 * Integer weights: 8 bits by DequantizeLinear, a scale a column; 4 bits by MatMulNBits, or by
 * DequantizeLinear in blocks; tables as rows of 8 bits. Codes and scales are those of our files; what cannot
 * be said is how we round activations: a scale and a middle for each row. */
#include <stdio.h>
#include "onnx/writer.h"
#include "kernel/integers.h"

#include <math.h>

/* ---- Weights as rows ---- */

/* [k, n] of int8: codes of 8 bits, or of 4 bits times their group's scale, which is an int8 too. */
static const char *int8_rows(rt_onnx_writer *w, const rt_node *node, int value, int groups) {
    const rt_value *v = &w->graph->values[value];
    size_t k = (size_t)v->dims[0], n = (size_t)v->dims[1];
    int8_t *rows = rt_put_alloc(w, k, n);
    if (rows == NULL) return "";
    if (v->layout == RT_LAYOUT_P16_S8) rt_unpack_s8(k, n, v->data, rows);
    if (v->layout == RT_LAYOUT_P16_S4) {
        rt_unpack_s4(k, n, (size_t)node->attrs.group, v->data, w->graph->values[groups].data, rows);
    }
    return rt_put_named(w, v->name, RT_ONNX_INT8, 2, v->dims, rows, k * n);
}

/* The columns' scales as they are; many readers, one tensor. */
static const char *column_scales(rt_onnx_writer *w, const rt_node *node) {
    return rt_put_value(w, node->inputs[LINEAR_SCALE]);
}

/* Float columns of an int8 matrix. */
static const char *dequantized(rt_onnx_writer *w, const rt_node *node, const char *leaf, const char *rows) {
    int64_t n = w->graph->values[node->inputs[LINEAR_WEIGHT]].dims[1];
    int8_t *zeros = rt_put_alloc(w, (size_t)n, 1);
    char name[32];
    snprintf(name, sizeof name, "%.24s.zero", leaf);
    const char *inputs[] = {rows, column_scales(w, node),
                            rt_put_tensor(w, name, RT_ONNX_INT8, 1, &n, zeros, (size_t)n)};
    return rt_put(w, "DequantizeLinear", leaf, 3, inputs, 1, &RT_ONNX_INT("axis", 1));
}

/* ---- Activations ---- */

/* x through 8 bits where the model has a fixed range for it; asymmetric about the middle, as we round. */
static const char *rounded(rt_onnx_writer *w, int value) {
    const rt_value *v = &w->graph->values[value];
    const char *x = rt_put_value(w, value), *scope = w->scope;
    const rt_attrs *attrs = v->producer >= 0 ? &w->graph->nodes[v->producer].attrs : NULL;
    if (attrs == NULL || attrs->range_min >= attrs->range_max) return x;
    if (w->rounded[value] != NULL) return w->rounded[value];
    w->scope = w->graph->nodes[v->producer].name;
    float scale = (attrs->range_max - attrs->range_min) / 254;
    int8_t *zero = rt_put_alloc(w, 1, 1);
    if (zero == NULL) return "";
    *zero = (int8_t)fmaxf(-127, fminf(127, rintf(-0.5f * (attrs->range_max + attrs->range_min) / scale)));
    const char *inputs[] = {x, rt_put_scalar(w, "codes.scale", scale),
                            rt_put_tensor(w, "codes.zero", RT_ONNX_INT8, 0, NULL, zero, 1)};
    const char *codes = rt_put(w, "QuantizeLinear", "codes", 3, inputs, 0, NULL);
    inputs[0] = codes;
    w->rounded[value] = rt_put(w, "DequantizeLinear", "rounded", 3, inputs, 0, NULL);
    w->scope = scope;
    return w->rounded[value];
}

/* ---- Products ---- */

/* Integers of x by a scale for all of it: what ONNX Runtime does fast. */
static const char *dynamic_product(rt_onnx_writer *w, const rt_node *node, const char *rows) {
    const char *x = rt_put_value(w, node->inputs[LINEAR_X]);
    rt_onnx_node *codes = rt_put_node(w, "DynamicQuantizeLinear", "codes", 1, &x, 0, NULL);
    const char **outputs = rt_put_alloc(w, 3, sizeof *outputs);
    if (outputs == NULL) return "";
    outputs[0] = rt_put_name(w, "codes.x");
    outputs[1] = rt_put_name(w, "codes.scale");
    outputs[2] = rt_put_name(w, "codes.zero");
    codes->outputs = outputs;
    codes->output_count = 3;
    int64_t n = w->graph->values[node->inputs[LINEAR_WEIGHT]].dims[1];
    int8_t *zeros = rt_put_alloc(w, (size_t)n, 1);
    const char *inputs[] = {outputs[0], rows, outputs[2],
                            rt_put_tensor(w, "zero", RT_ONNX_INT8, 1, &n, zeros, (size_t)n)};
    const char *sums = rt_put(w, "MatMulInteger", "matmul", 4, inputs, 0, NULL);
    sums = rt_put(w, "Cast", "sums", 1, &sums, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    return rt_put2(w, "Mul", "product", sums, rt_put2(w, "Mul", "scale", outputs[1], column_scales(w, node)));
}

/* Codes of 4 bits, [n, blocks, group / 2], 8 standing for 0, and the groups' scales as floats,
 * [n, blocks]. */
static const char *n_bits(rt_onnx_writer *w, const rt_node *node, const char *x) {
    const rt_value *v = &w->graph->values[node->inputs[LINEAR_WEIGHT]];
    size_t k = (size_t)v->dims[0], n = (size_t)v->dims[1], group = (size_t)node->attrs.group;
    size_t blocks = (k + group - 1) / group, row = blocks * group / 2;
    const uint8_t *groups = w->graph->values[node->inputs[LINEAR_GROUPS]].data;
    uint8_t *codes = rt_put_alloc(w, n, row);
    float *scales = rt_put_alloc(w, n, blocks * sizeof *scales);
    if (codes == NULL || scales == NULL) return "";
    memset(codes, 0x88, n * row);
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < k; i++) {
            int code = rt_panel_code(v->data, k, i, j) + 8, shift = i % 2 * 4;
            uint8_t *byte = &codes[j * row + i / 2];
            *byte = (uint8_t)((*byte & (0xf0 >> shift)) | code << shift);
        }
        for (size_t b = 0; b < blocks; b++)
            scales[j * blocks + b] = groups[rt_panel_group(k, group, b * group, j)];
    }
    const int64_t shape[] = {v->dims[1], (int64_t)blocks, (int64_t)group / 2};
    const char *inputs[] = {
        x, rt_put_named(w, v->name, RT_ONNX_UINT8, 3, shape, codes, n * row),
        rt_put_tensor(w, "groups", RT_ONNX_FLOAT, 2, shape, scales, n * blocks * sizeof *scales)};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("K", v->dims[0]), RT_ONNX_INT("N", v->dims[1]),
                            RT_ONNX_INT("bits", 4), RT_ONNX_INT("block_size", node->attrs.group),
                            RT_ONNX_INT("accuracy_level", 4)};
    return rt_put_microsoft(w, "MatMulNBits", "matmul", 3, inputs, 5, attrs);
}

/* Codes of 4 bits [k, n], two a byte, and the groups' scales as floats [blocks, n]. */
static const char *blocked(rt_onnx_writer *w, const rt_node *node, const char *x) {
    const rt_value *v = &w->graph->values[node->inputs[LINEAR_WEIGHT]];
    size_t k = (size_t)v->dims[0], n = (size_t)v->dims[1], group = (size_t)node->attrs.group;
    size_t blocks = (k + group - 1) / group, bytes = (k * n + 1) / 2;
    const uint8_t *groups = w->graph->values[node->inputs[LINEAR_GROUPS]].data;
    uint8_t *codes = rt_put_alloc(w, bytes, 1);
    float *scales = rt_put_alloc(w, blocks, n * sizeof *scales);
    if (codes == NULL || scales == NULL) return "";
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < n; j++) {
            size_t at = i * n + j;
            codes[at / 2] |= (uint8_t)((rt_panel_code(v->data, k, i, j) & 15) << at % 2 * 4);
            if (i % group == 0) scales[i / group * n + j] = groups[rt_panel_group(k, group, i, j)];
        }
    }
    const int64_t shape[] = {(int64_t)blocks, v->dims[1]};
    const char *inputs[] = {
        rt_put_named(w, v->name, RT_ONNX_INT4, 2, v->dims, codes, bytes),
        rt_put_tensor(w, "groups", RT_ONNX_FLOAT, 2, shape, scales, blocks * n * sizeof *scales)};
    rt_onnx_attr attrs[] = {RT_ONNX_INT("axis", 0), RT_ONNX_INT("block_size", node->attrs.group)};
    return rt_put2(w, "MatMul", "matmul", x, rt_put(w, "DequantizeLinear", "weight", 2, inputs, 2, attrs));
}

/* The columns of x that have weights of 8 bits besides. */
static const char *outlier_product(rt_onnx_writer *w, const rt_node *node, const char *x) {
    const rt_value *columns = &w->graph->values[node->inputs[LINEAR_OUTLIER_COLUMNS]];
    int64_t count = columns->dims[0], *indices = rt_put_alloc(w, (size_t)count, sizeof *indices);
    for (int64_t i = 0; indices != NULL && i < count; i++) indices[i] = ((const int32_t *)columns->data)[i];
    const char *inputs[] = {x, rt_put_named(w, columns->name, RT_ONNX_INT64, 1, &count, indices,
                                            (size_t)count * sizeof *indices)};
    const char *picked = rt_put(w, "Gather", "weak.x", 2, inputs, 1, &RT_ONNX_INT("axis", -1));
    const char *rows = int8_rows(w, node, node->inputs[LINEAR_OUTLIERS], -1);
    return rt_put2(w, "MatMul", "weak.matmul", picked, dequantized(w, node, "weak.weight", rows));
}

const char *rt_put_integer_weight(rt_onnx_writer *w, const rt_node *node) {
    return dequantized(w, node, "weight",
                       int8_rows(w, node, node->inputs[LINEAR_WEIGHT], rt_operand(node, LINEAR_GROUPS)));
}

const char *rt_put_integer_x(rt_onnx_writer *w, const rt_node *node) {
    return rounded(w, node->inputs[LINEAR_X]);
}

const char *rt_put_integer_product(rt_onnx_writer *w, const rt_node *node) {
    const char *x = rounded(w, node->inputs[LINEAR_X]), *y;
    bool four = w->graph->values[node->inputs[LINEAR_WEIGHT]].layout == RT_LAYOUT_P16_S4;
    bool fixed = strcmp(x, rt_put_value(w, node->inputs[LINEAR_X])) != 0;
    if (four) {
        y = w->options->standard ? blocked(w, node, x) : n_bits(w, node, x);
        y = rt_put2(w, "Mul", "product", y, column_scales(w, node));
    } else if (w->options->fused && !fixed) {
        y = dynamic_product(w, node, int8_rows(w, node, node->inputs[LINEAR_WEIGHT], -1));
    } else {
        y = rt_put2(w, "MatMul", "matmul", x, rt_put_integer_weight(w, node));
    }
    return rt_operand(node, LINEAR_OUTLIERS) >= 0 ? rt_put2(w, "Add", "weak", y, outlier_product(w, node, x))
                                                  : y;
}

/* ---- Tables ---- */

/* A table of 4-bit codes as int8: of each 32 columns the first 16 in the low halves. */
static const int8_t *table_rows(rt_onnx_writer *w, const rt_node *node) {
    const rt_value *v = &w->graph->values[node->inputs[EMBED_WORD]];
    size_t rows = (size_t)v->dims[0], n = (size_t)v->dims[1];
    if (v->layout == RT_LAYOUT_ROWS) return v->data;
    size_t group = (size_t)node->attrs.group, groups = (n + group - 1) / group, stride = (n + 31) / 32 * 16;
    const uint8_t *codes = v->data, *scales = w->graph->values[node->inputs[EMBED_WORD_GROUPS]].data;
    int8_t *out = rt_put_alloc(w, rows, n);
    for (size_t i = 0; out != NULL && i < rows; i++) {
        for (size_t j = 0; j < n; j++) {
            int bits = codes[i * stride + j / 32 * 16 + j % 16] >> (j % 32 < 16 ? 0 : 4) & 15;
            out[i * n + j] = (int8_t)(((bits ^ 8) - 8) * scales[i * groups + j / group]);
        }
    }
    return out;
}

/* out[id] = its row among the table's and, after them, the int8 rows. */
static void number_rows(const rt_graph *graph, const rt_node *node, int64_t ids, int64_t *out) {
    int pruned = rt_operand(node, EMBED_PRUNED), s8_ids = rt_operand(node, EMBED_S8_IDS);
    const int32_t *range = pruned >= 0 ? graph->values[pruned].data : NULL;
    const int32_t *ids_s8 = s8_ids >= 0 ? graph->values[s8_ids].data : NULL;
    int64_t pruned_count = range != NULL ? graph->values[pruned].dims[0] : 0;
    int64_t s8_count = ids_s8 != NULL ? graph->values[s8_ids].dims[0] : 0;
    int64_t row = -1, at = 0, found = 0, stored = graph->values[node->inputs[EMBED_WORD]].dims[0];
    for (int64_t id = 0; id < ids; id++) {
        if (found < s8_count && id == ids_s8[found]) {
            out[id] = stored + found++;
            continue;
        }
        while (at < pruned_count && id >= (int64_t)range[2 * at] + range[2 * at + 1]) at++;
        if (at == pruned_count || id < range[2 * at]) row++;
        out[id] = row < 0 ? 0 : row;
    }
}

/* The rows of the table that the ids have, where these are not their numbers. */
static const char *rows_of(rt_onnx_writer *w, const rt_node *node) {
    int pruned = rt_operand(node, EMBED_PRUNED), s8_ids = rt_operand(node, EMBED_S8_IDS);
    if (pruned < 0 && s8_ids < 0) return "input_ids";
    int64_t ids = w->graph->values[node->inputs[EMBED_WORD]].dims[0];
    const int32_t *range = pruned >= 0 ? w->graph->values[pruned].data : NULL;
    for (int64_t g = 0; range != NULL && g < w->graph->values[pruned].dims[0]; g++) ids += range[2 * g + 1];
    if (s8_ids >= 0) ids += w->graph->values[s8_ids].dims[0];
    int64_t *rows = rt_put_alloc(w, (size_t)ids, sizeof *rows);
    if (rows != NULL) number_rows(w->graph, node, ids, rows);
    const char *inputs[] = {
        rt_put_tensor(w, "word.rows", RT_ONNX_INT64, 1, &ids, rows, (size_t)ids * sizeof *rows), "input_ids"};
    return rt_put(w, "Gather", "word.row", 2, inputs, 0, NULL);
}

/* A constant followed by that of input `index`, if there is one. */
static const char *with_s8_rows(rt_onnx_writer *w, const rt_node *node, int index, const char *leaf,
                                const char *constant) {
    if (rt_operand(node, index) < 0) return constant;
    const char *parts[] = {constant, rt_put_value(w, node->inputs[index])};
    return rt_put(w, "Concat", leaf, 2, parts, 1, &RT_ONNX_INT("axis", 0));
}

const char *rt_put_integer_word(rt_onnx_writer *w, const rt_node *node) {
    const rt_value *v = &w->graph->values[node->inputs[EMBED_WORD]];
    const char *ids = rows_of(w, node);
    const char *last = rt_put_ints(w, "last", 1, (int64_t[]){-1});
    const char *table = rt_put_named(w, v->name, RT_ONNX_INT8, 2, v->dims, table_rows(w, node),
                                     (size_t)(v->dims[0] * v->dims[1]));
    table = with_s8_rows(w, node, EMBED_S8_ROWS, "word.table", table);
    const char *scales =
        with_s8_rows(w, node, EMBED_S8_SCALE, "word.scales", rt_put_value(w, node->inputs[EMBED_WORD_SCALE]));
    const char *codes = rt_put(w, "Gather", "word.codes", 2, (const char *[]){table, ids}, 0, NULL);
    const char *scale = rt_put(w, "Gather", "word.scale", 2, (const char *[]){scales, ids}, 0, NULL);
    scale = rt_put2(w, "Unsqueeze", "word.column", scale, last);
    codes = rt_put(w, "Cast", "word.floats", 1, &codes, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    return rt_put2(w, "Mul", "word", codes, scale);
}

const char *rt_put_integer_position(rt_onnx_writer *w, const rt_node *node, const char *rows) {
    const char *floats = rt_put(w, "Cast", "position.floats", 1, &rows, 1, &RT_ONNX_INT("to", RT_ONNX_FLOAT));
    return rt_put2(w, "Mul", "position.scaled", floats, rt_put_value(w, node->inputs[EMBED_POSITION_SCALE]));
}
