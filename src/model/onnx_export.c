/* SPDX-License-Identifier: Apache-2.0
 * Exports the graph of a model as an ONNX model: inputs, nodes, outputs. */
#include <stdio.h>
#include "model/onnx_export.h"
#include "model/onnx_metadata.h"
#include "onnx/writer.h"

#include <inttypes.h>
#include <stdlib.h>

/* Opset 17 is the first with LayerNormalization, and every current engine reads it; its files have version
 * 8. */
enum { OPSET = 17, IR_VERSION = 8, BLOCKS_OPSET = 21, BLOCKS_IR_VERSION = 10 };

/* NULL: rt_put_plain. */
static const rt_onnx_put_fn writers[RT_OP_COUNT] = {
#define WRITER_ROW(name, row) [RT_OP_##name] = rt_put_##row,
    RT_FUSED_OPS(WRITER_ROW)
#undef WRITER_ROW
        [RT_OP_MASK_TOKEN_ROWS] = rt_put_alias,
};

static void put_inputs(rt_onnx_writer *w) {
    static const char *const names[] = {"input_ids", "attention_mask", "token_type_ids"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int value = rt_value_find(w->graph, names[i]);
        if (value < 0 && i != 1) continue; /* the mask is always there: a ragged graph has none */
        rt_onnx_value *input = rt_onnx_add_input(w->onnx);
        if (input == NULL) {
            rt_put_fail(w, sizeof *input);
            return;
        }
        *input = (rt_onnx_value){.name = names[i],
                                 .type = RT_ONNX_INT64,
                                 .rank = 2,
                                 .dims = {-1, -1},
                                 .params = {"batch", "sequence"}};
        if (value >= 0) w->names[value] = names[i];
    }
}

static void put_nodes(rt_onnx_writer *w) {
    for (size_t i = 0; w->failed == RETORT_OK && i < w->graph->node_count; i++) {
        const rt_node *node = &w->graph->nodes[i];
        w->scope = node->name;
        rt_onnx_put_fn put = writers[node->op];
        (put != NULL ? put : rt_put_plain)(w, node);
    }
}

/* Renames a value to the name that Hugging Face uses. */
static void rename_value(rt_onnx_writer *w, const char *from, const char *to) {
    for (size_t i = 0; i < w->onnx->node_count; i++) {
        rt_onnx_node *node = &w->onnx->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            if (strcmp(node->inputs[k], from) == 0) node->inputs[k] = to;
        }
        for (size_t k = 0; k < node->output_count; k++) {
            if (strcmp(node->outputs[k], from) == 0) node->outputs[k] = to;
        }
    }
}

static void add_output(rt_onnx_writer *w, const char *name, int rank, int64_t last) {
    rt_onnx_value *out = rt_onnx_add_output(w->onnx);
    if (out == NULL) {
        rt_put_fail(w, sizeof *out);
        return;
    }
    *out = (rt_onnx_value){.name = name, .type = RT_ONNX_FLOAT, .rank = rank, .dims = {-1, -1, -1}};
    out->params[0] = "batch";
    out->params[1] = "sequence";
    if (last >= 0) out->dims[rank - 1] = last;
}

/* [batch, sequence, 2] as two outputs [batch, sequence] */
static void put_spans(rt_onnx_writer *w, const char *logits) {
    static const char *names[] = {"start_logits", "end_logits"};
    w->scope = "head";
    for (int64_t i = 0; i < 2; i++) {
        int64_t *index = rt_put_alloc(w, 1, sizeof *index);
        if (index == NULL) return;
        *index = i;
        const char *leaf = i == 0 ? "start" : "end";
        char constant[16];
        snprintf(constant, sizeof constant, "%s.index", leaf);
        const char *inputs[] = {logits,
                                rt_put_tensor(w, constant, RT_ONNX_INT64, 0, NULL, index, sizeof *index)};
        rename_value(w, rt_put(w, "Gather", leaf, 2, inputs, 1, &RT_ONNX_INT("axis", -1)), names[i]);
        add_output(w, names[i], 2, -1);
    }
}

static void put_outputs(rt_onnx_writer *w, const rt_config *config) {
    const char *name = rt_put_value(w, w->graph->output);
    if (w->failed != RETORT_OK) return;
    if (config->task == RETORT_TASK_ANSWER) {
        put_spans(w, name);
        return;
    }
    const char *to = config->task == RETORT_TASK_EMBED ? "sentence_embedding" : "logits";
    rename_value(w, name, to);
    add_output(w, to, rt_put_rank(w, w->graph->output), config->labels);
}

static void put_header(rt_onnx_writer *w) {
    w->onnx->ir_version = w->opset < BLOCKS_OPSET ? IR_VERSION : BLOCKS_IR_VERSION;
    w->onnx->producer = "retort";
    w->onnx->graph_name = "encoder";
    bool added = rt_onnx_add_opset(w->onnx, "", w->opset);
    if (added && w->microsoft) added = rt_onnx_add_opset(w->onnx, RT_ONNX_MICROSOFT, 1);
    if (!added) rt_put_fail(w, sizeof *w->onnx->opsets);
}

/* 4-bit blocks need ONNX 1.16, which has opset 21; ONNX Runtime's operator has blocks of 2^n. */
static retort_status choose_opset(rt_onnx_writer *w) {
    for (size_t i = 0; i < w->graph->node_count; i++) {
        const rt_node *node = &w->graph->nodes[i];
        bool four = node->op == RT_OP_LINEAR &&
                    w->graph->values[node->inputs[LINEAR_WEIGHT]].layout == RT_LAYOUT_P16_S4;
        if (!four || node->attrs.heads > 0) continue;
        if (w->options->standard) w->opset = BLOCKS_OPSET;
        if (w->options->standard || (node->attrs.group & (node->attrs.group - 1)) == 0) continue;
        return rt_fail(w->err, RETORT_UNSUPPORTED,
                       "%.200s: groups of %" PRId64 ": MatMulNBits has 2^n; export standard operators",
                       node->name, node->attrs.group);
    }
    return RETORT_OK;
}

/* Rows of a sequence each that turn: which ones they are is not known here. Rewrites leave none such. */
static retort_status refuse_rows(const rt_graph *graph, retort_error *err) {
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->attrs.rotate == 0 || graph->values[node->outputs[0]].dims[0] != RT_DIM_BATCH ||
            graph->values[node->outputs[0]].rank != 2)
            continue;
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%.200s: a row of each sequence, whose place is not known, turns by its place",
                       node->name);
    }
    return RETORT_OK;
}

retort_status rt_onnx_from_model(rt_onnx *out, const retort_model *model, const rt_onnx_options *options,
                                 retort_error *err) {
    static const rt_onnx_options defaults;
    *out = (rt_onnx){0};
    rt_onnx_writer w = {.graph = &model->graph,
                        .options = options != NULL ? options : &defaults,
                        .onnx = out,
                        .opset = OPSET,
                        .err = err};
    retort_status status = refuse_rows(&model->graph, err);
    if (status == RETORT_OK) status = choose_opset(&w);
    if (status != RETORT_OK) return status;
    w.names = rt_calloc(2 * w.graph->value_count, sizeof *w.names);
    if (w.names == NULL) return rt_fail_nomem(err, 2 * w.graph->value_count * sizeof *w.names);
    w.rounded = w.names + w.graph->value_count;
    put_inputs(&w);
    put_nodes(&w);
    put_outputs(&w, &model->config);
    put_header(&w);
    free(w.names);
    if (w.failed != RETORT_OK) rt_onnx_close(out);
    return w.failed;
}

retort_status rt_onnx_write(const retort_model *model, const rt_onnx_options *options, uint8_t **bytes,
                            size_t *length, retort_error *err) {
    rt_onnx onnx;
    retort_status status = rt_onnx_from_model(&onnx, model, options, err);
    if (status != RETORT_OK) return status;
    status = rt_onnx_pack(&onnx, bytes, length, err);
    rt_onnx_close(&onnx);
    return status;
}

retort_status rt_onnx_export(const retort_model *model, const char *path,
                             const retort_export_options *options, retort_export_info *info,
                             retort_error *err) {
    rt_onnx onnx;
    rt_onnx_options how = {.fused = options->fused, .standard = options->standard};
    retort_export_info done = {0};
    retort_status status = rt_onnx_from_model(&onnx, model, &how, err);
    if (status != RETORT_OK) return status;
    done.nodes = onnx.node_count;
    status = rt_onnx_describe(&onnx, model, &how, err);
    if (status == RETORT_OK) {
        status = rt_onnx_save(&onnx, path, options->external_over, &done.bytes, &done.external, err);
    }
    rt_onnx_close(&onnx);
    if (status == RETORT_OK) *info = done;
    return status;
}
