/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/dequantize.h"
#include "graph/match.h"
#include "graph/ops.h"
#include "kernel/integers.h"
#include "quant/channel_scale.h"

#include <stdlib.h>
#include <string.h>

/* Points a constant at floats. */
static void settle(rt_value *value, rt_layout layout, const float *data) {
    value->dtype = RETORT_F32;
    value->layout = layout;
    value->data = data;
}

static void drop_inputs(rt_node *node, int from, int to) {
    for (int i = from; i < to && i < node->input_count; i++) node->inputs[i] = -1;
    while (node->input_count > 0 && node->inputs[node->input_count - 1] < 0) node->input_count--;
}

/* ---- Matrices ---- */

/* The integers of a Linear. */
typedef struct matrix {
    const rt_value *weight, *outliers;
    const float *scale;
    const uint8_t *groups;
    const int32_t *columns;
    const float *factor, *add; /* channel scaling of x, or NULL */
    size_t k, n, group;
} matrix;

static float weight_at(const matrix *m, size_t i, size_t j) {
    if (m->weight->layout == RT_LAYOUT_P16_S8) {
        return (float)((const int8_t *)m->weight->data)[rt_panel_byte(m->k, 4, i, j)] * m->scale[j];
    }
    int code = rt_panel_code(m->weight->data, m->k, i, j);
    return (float)(code * m->groups[rt_panel_group(m->k, m->group, i, j)]) * m->scale[j];
}

/* w [k, n] in panels, including its outlier rows. */
static void expand(const matrix *m, float *w) {
    size_t outliers = m->outliers != NULL ? (size_t)m->outliers->dims[0] : 0;
    for (size_t j = 0; j < m->n; j++) {
        float *column = w + j / RT_PANEL * m->k * RT_PANEL + j % RT_PANEL;
        for (size_t i = 0; i < m->k; i++) column[i * RT_PANEL] = weight_at(m, i, j);
        for (size_t i = 0; i < outliers; i++) {
            float code = (float)((const int8_t *)m->outliers->data)[rt_panel_byte(outliers, 4, i, j)];
            column[(size_t)m->columns[i] * RT_PANEL] += code * m->scale[j];
        }
    }
}

/* Turns weights for x factor + add into weights for x, and adds the rest to the bias. */
static void undo_channel_scaling(const matrix *m, float *w, double *shift) {
    if (m->factor == NULL || m->add == NULL) return;
    for (size_t j = 0; j < m->n; j++) {
        float *column = w + j / RT_PANEL * m->k * RT_PANEL + j % RT_PANEL;
        for (size_t i = 0; i < m->k; i++) {
            shift[j] += (double)m->add[i] * (double)column[i * RT_PANEL];
            column[i * RT_PANEL] *= m->factor[i];
        }
    }
}

/* The index of the factor of a node's channel scaling; add follows it. */
static int channel_scale_input(const rt_node *node) {
    return node->op == RT_OP_EMBED        ? (int)EMBED_CHANNEL_SCALE
           : node->op == RT_OP_LAYER_NORM ? (int)LAYER_NORM_CHANNEL_SCALE
                                          : (int)CONVERT_CHANNEL_SCALE;
}

static matrix describe(const rt_graph *graph, const rt_node *node) {
    const rt_node *maker =
        &graph->nodes[graph->values[node->inputs[LINEAR_X]].producer]; /* of int8: exists */
    int scaled = channel_scale_input(maker);
    return (matrix){.weight = rt_operand_value(graph, node, LINEAR_WEIGHT),
                    .outliers = rt_operand_value(graph, node, LINEAR_OUTLIERS),
                    .scale = rt_operand_data(graph, node, LINEAR_SCALE),
                    .groups = rt_operand_data(graph, node, LINEAR_GROUPS),
                    .columns = rt_operand_data(graph, node, LINEAR_OUTLIER_COLUMNS),
                    .factor = rt_operand_data(graph, maker, scaled),
                    .add = rt_operand_data(graph, maker, scaled + 1),
                    .k = (size_t)rt_operand_value(graph, node, LINEAR_WEIGHT)->dims[0],
                    .n = (size_t)rt_operand_value(graph, node, LINEAR_WEIGHT)->dims[1],
                    .group = (size_t)node->attrs.group};
}

/* All Linears that share a weight use the same scales and channel scaling, as quantize makes them. */
static retort_status check_readers(const rt_graph *graph, int node, const matrix *m, retort_error *err) {
    const rt_node *first = &graph->nodes[node];
    if (m->factor != NULL && first->attrs.heads > 1) {
        return rt_fail(err, RETORT_UNSUPPORTED, "dequantize: %.200s: blocks of scaled columns", first->name);
    }
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *reader = &graph->nodes[i];
        if (reader->op != RT_OP_LINEAR || reader->inputs[LINEAR_WEIGHT] != first->inputs[LINEAR_WEIGHT])
            continue;
        matrix other = describe(graph, reader);
        if (memcmp(&other, m, sizeof other) == 0) continue;
        return rt_fail(err, RETORT_UNSUPPORTED, "dequantize: %.120s and %.120s read one weight differently",
                       first->name, reader->name);
    }
    return RETORT_OK;
}

static retort_status expand_matrix(rt_graph *graph, int node, retort_error *err) {
    int weight = graph->nodes[node].inputs[LINEAR_WEIGHT];
    matrix m = describe(graph, &graph->nodes[node]);
    retort_status status = check_readers(graph, node, &m, err);
    if (status != RETORT_OK) return status;
    float *w = rt_floats(graph, (int64_t)rt_round_up(m.n, RT_PANEL), (int64_t)m.k);
    double *shift = rt_calloc(m.n, sizeof *shift);
    if (w == NULL || shift == NULL) {
        free(shift);
        return rt_fail_nomem(err, m.k * m.n * sizeof *w);
    }
    expand(&m, w);
    undo_channel_scaling(&m, w, shift);
    settle(&graph->values[weight], RT_LAYOUT_P16, w);
    if (m.factor != NULL) status = rt_shift_bias(graph, weight, shift, err);
    free(shift);
    return status;
}

/* The float value that an int8 value was rounded from. */
static int float_twin(const rt_graph *graph, int value) {
    const rt_node *maker = &graph->nodes[graph->values[value].producer];
    return maker->op == RT_OP_CONVERT ? maker->inputs[CONVERT_X] : maker->outputs[0];
}

static retort_status expand_linears(rt_graph *graph, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_LINEAR || graph->values[node->inputs[LINEAR_X]].dtype != RETORT_S8) continue;
        if (graph->values[node->inputs[LINEAR_WEIGHT]].dtype != RETORT_F32)
            status = expand_matrix(graph, (int)i, err);
    }
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_LINEAR || graph->values[node->inputs[LINEAR_X]].dtype != RETORT_S8) continue;
        node->inputs[LINEAR_X] = float_twin(graph, node->inputs[LINEAR_X]);
        node->attrs.group = 0;
        drop_inputs(node, 4, RT_MAX_INPUTS);
    }
    return status;
}

/* ---- Tables ---- */

/* groups NULL: 8-bit rows. */
static void expand_row(const rt_value *table, const float *scale, const uint8_t *groups, size_t group,
                       size_t row, float *out) {
    size_t n = (size_t)table->dims[1], size = group > 0 ? group : n, count = (n + size - 1) / size;
    const int8_t *bytes = (const int8_t *)table->data + row * n;
    const uint8_t *codes = (const uint8_t *)table->data + row * ((n + 31) / 32 * 16);
    for (size_t i = 0; i < n; i++) {
        int code = groups == NULL ? bytes[i] : rt_row_code(codes, i) * groups[row * count + i / size];
        out[i] = (float)code * scale[row];
    }
}

/* Ids without a row get a copy of the row before, which they used so far. */
static retort_status expand_words(rt_graph *graph, rt_node *node, int64_t vocab, retort_error *err) {
    rt_value *table = &graph->values[node->inputs[EMBED_WORD]];
    const rt_value *pruned = rt_operand_value(graph, node, EMBED_PRUNED),
                   *s8_ids = rt_operand_value(graph, node, EMBED_S8_IDS);
    const int32_t *range = pruned != NULL ? pruned->data : NULL,
                  *end = range != NULL ? range + 2 * pruned->dims[0] : NULL;
    const int32_t *ids = s8_ids != NULL ? s8_ids->data : NULL;
    size_t s8_rows = s8_ids != NULL ? (size_t)s8_ids->dims[0] : 0, s8_row = 0;
    size_t n = (size_t)table->dims[1], row = 0;
    float *out = rt_floats(graph, vocab, (int64_t)n);
    if (out == NULL) return rt_fail_nomem(err, (size_t)vocab * n * sizeof *out);
    for (int64_t id = 0; id < vocab; id++) {
        float *at = out + (size_t)id * n;
        while (range < end && id >= range[0] + range[1]) range += 2;
        if (range < end && id >= range[0]) {
            memcpy(at, at - n, n * sizeof *at); /* id 0 is never pruned */
        } else if (s8_row < s8_rows && ids[s8_row] == id) {
            expand_row(rt_operand_value(graph, node, EMBED_S8_ROWS),
                       rt_operand_data(graph, node, EMBED_S8_SCALE), NULL, 0, s8_row++, at);
        } else {
            expand_row(table, rt_operand_data(graph, node, EMBED_WORD_SCALE),
                       rt_operand_data(graph, node, EMBED_WORD_GROUPS), (size_t)node->attrs.group, row++, at);
        }
    }
    table->dims[0] = vocab;
    settle(table, RT_LAYOUT_ROWS, out);
    return RETORT_OK;
}

static retort_status expand_positions(rt_graph *graph, rt_node *node, retort_error *err) {
    rt_value *table = &graph->values[node->inputs[EMBED_POSITION]];
    const float *scale = rt_operand_data(graph, node, EMBED_POSITION_SCALE);
    const int8_t *from = table->data;
    float *out = rt_floats(graph, table->dims[0], table->dims[1]);
    if (out == NULL) return rt_fail_nomem(err, (size_t)table->dims[0] * sizeof *out);
    for (int64_t i = 0; i < table->dims[0] * table->dims[1]; i++)
        out[i] = (float)from[i] * scale[i % table->dims[1]];
    settle(table, RT_LAYOUT_ROWS, out);
    return RETORT_OK;
}

static retort_status expand_tables(rt_graph *graph, int64_t vocab, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_EMBED) continue;
        bool words = rt_operand_value(graph, node, EMBED_WORD)->dtype != RETORT_F32;
        if (words) status = expand_words(graph, node, vocab, err);
        const rt_value *positions = rt_operand_value(graph, node, EMBED_POSITION);
        if (status == RETORT_OK && positions != NULL && positions->dtype != RETORT_F32)
            status = expand_positions(graph, node, err);
        if (words) drop_inputs(node, EMBED_PRUNED, EMBED_OPERANDS);
        drop_inputs(node, EMBED_WORD_SCALE, EMBED_CHANNEL_SCALE);
        node->attrs.group = 0;
    }
    return status;
}

/* ---- The graph ---- */

/* Nothing reads int8 any more, so it is no longer computed. */
static void widen(rt_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        rt_node *node = &graph->nodes[i];
        node->attrs.integers = false;
        if (node->attrs.out_dtype != RETORT_S8 || node->op == RT_OP_CONVERT) continue;
        node->attrs.out_dtype = RETORT_F32;
        node->attrs.range_min = node->attrs.range_max = 0;
        node->output_count = 1;
        drop_inputs(node, channel_scale_input(node), channel_scale_input(node) + 2);
    }
}

/* "fp32 of int4 group=64 embeddings=4" */
static retort_status keep_recipe(retort_model *model, retort_error *err) {
    rt_buffer text = {0};
    rt_buffer_format(&text, "fp32 of %s", model->provenance.recipe);
    retort_status status =
        text.failed ? rt_fail_nomem(err, 64)
                    : rt_provenance_set(&model->provenance, &model->arena, RETORT_F32, text.data, err);
    rt_buffer_free(&text);
    return status;
}

static bool has_integers(const rt_graph *graph) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_LINEAR && node->op != RT_OP_EMBED) continue;
        retort_dtype dtype = graph->values[node->inputs[LINEAR_WEIGHT]].dtype;
        if (dtype == RETORT_S8 || dtype == RETORT_U8) return true;
    }
    return false;
}

retort_status rt_dequantize(retort_model **out, const retort_model *model, retort_error *err) {
    retort_model *next = NULL;
    if (!has_integers(&model->graph)) {
        return rt_fail(err, RETORT_ARGUMENT, "dequantize: the model is %.60s: it has no integer weights",
                       model->provenance.text);
    }
    retort_status status = rt_model_derive(&next, model, err);
    if (status != RETORT_OK) return status;
    status = expand_linears(&next->graph, err);
    if (status == RETORT_OK) status = expand_tables(&next->graph, next->config.vocab, err);
    if (status == RETORT_OK) {
        widen(&next->graph);
        status = rt_graph_sweep(&next->graph, err);
    }
    if (status == RETORT_OK) status = rt_graph_infer(&next->graph, err);
    if (status == RETORT_OK) status = rt_graph_verify(&next->graph, err);
    if (status == RETORT_OK) status = keep_recipe(next, err);
    if (status == RETORT_OK) {
        *out = next;
    } else {
        retort_model_free(next);
    }
    return status;
}
