/* SPDX-License-Identifier: Apache-2.0
 * The level-0 graph of an encoder in an ONNX file: the operators of the file, followed by what the task needs and
 * the file leaves to its caller. */
#include "arch/builder.h"
#include "onnx/read_graph.h"

#include <inttypes.h>
#include <string.h>

/* The names that exporters give the output of a task; the first that the file has is read, or else the file's
 * first output. */
static const char *const logits[] = {"logits", NULL};
static const char *const rows[] = {"last_hidden_state", "token_embeddings", NULL};
static const char *const *const names[] = {
    [RETORT_TASK_CLASSIFY] = logits, [RETORT_TASK_TAG] = logits, [RETORT_TASK_ANSWER] = logits,
    [RETORT_TASK_FILL] = logits,     [RETORT_TASK_EMBED] = rows,
};

static const char *output_named(const rt_onnx *onnx, const char *name) {
    for (size_t i = 0; i < onnx->output_count; i++) {
        if (strcmp(onnx->outputs[i].name, name) == 0) return onnx->outputs[i].name;
    }
    return NULL;
}

/* One output, or one each for the start and the end of answers. */
static size_t choose_outputs(const rt_encoder *encoder, const char *out[2]) {
    const rt_onnx *onnx = &encoder->onnx;
    out[0] = output_named(onnx, "start_logits");
    out[1] = output_named(onnx, "end_logits");
    if (encoder->config.task == RETORT_TASK_ANSWER && out[0] != NULL && out[1] != NULL) return 2;
    for (const char *const *name = names[encoder->config.task]; *name != NULL; name++) {
        out[0] = output_named(onnx, *name);
        if (out[0] != NULL) return 1;
    }
    out[0] = onnx->output_count > 0 ? onnx->outputs[0].name : "";
    return 1;
}

static const rt_node *maker(const rt_graph *graph, int value, rt_op op) {
    if (value < 0) return NULL;
    int node = graph->values[value].producer;
    return node >= 0 && graph->nodes[node].op == op ? &graph->nodes[node] : NULL;
}

/* The x of squeeze(x[…, column]); -1: something else. */
static int column_of(const rt_graph *graph, int value, int64_t column) {
    const rt_node *squeeze = maker(graph, value, RT_OP_SQUEEZE),
                  *reshape = maker(graph, value, RT_OP_RESHAPE);
    const rt_node *gather = maker(graph, value, RT_OP_GATHER);
    if (squeeze == NULL) squeeze = reshape;
    const rt_node *slice = squeeze != NULL ? maker(graph, squeeze->inputs[0], RT_OP_SLICE) : NULL;
    const rt_node *node = slice != NULL ? slice : gather;
    if (node == NULL) return -1;
    const rt_value *x = &graph->values[node->inputs[0]], *at = &graph->values[node->inputs[1]];
    bool last = x->rank == 3 && x->dims[2] == 2 && graph->values[value].rank == 2;
    int64_t axis = gather != NULL && slice == NULL ? node->attrs.axis : 2;
    if (slice != NULL && rt_operand(node, SLICE_AXES) >= 0)
        axis = graph->values[node->inputs[SLICE_AXES]].content.at[0];
    bool found = at->content.known && at->content.count == 1 && at->content.at[0] == column;
    return last && found && (axis == 2 || axis == -1) ? node->inputs[0] : -1;
}

/* Start and end [batch, seq] as one [batch, seq, 2]: the value that they were split from, or their concatenation. */
static int join(rt_builder *b, int start, int end) {
    int whole = column_of(b->graph, start, 0);
    if (whole >= 0 && column_of(b->graph, end, 1) == whole) return whole;
    int64_t last = -1;
    int axis = rt_emit_indices(b, "head", "axis", 1, &last);
    int parts[] = {rt_emit2(b, RT_OP_UNSQUEEZE, "head.start", "unsqueeze", start, axis),
                   rt_emit2(b, RT_OP_UNSQUEEZE, "head.end", "unsqueeze", end, axis)};
    return rt_emit(b, RT_OP_CONCAT, "head", "concat", 2, parts, &(rt_attrs){.axis = -1});
}

/* Whether the output has the shape that config.json implies. */
static retort_status check_output(const rt_builder *b, int output, const char *file, retort_error *err) {
    const rt_config *c = &b->encoder->config;
    bool one = c->task == RETORT_TASK_CLASSIFY;
    int64_t n = c->task == RETORT_TASK_EMBED ? c->hidden : c->labels;
    const rt_value *v = &b->graph->values[output];
    int64_t expected[] = {RT_DIM_BATCH, one ? n : RT_DIM_SEQ, n};
    char want[96], found[96];
    if (v->dtype == RETORT_F32 && v->rank == (one ? 2 : 3) &&
        memcmp(v->dims, expected, (size_t)v->rank * sizeof *expected) == 0)
        return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: the output is %s, config.json says %s", file,
                   rt_dims_text(found, sizeof found, v->dims, v->rank),
                   rt_dims_text(want, sizeof want, expected, one ? 2 : 3));
}

/* Checks that the word table has a row for each piece, and that some node reads the mask. */
static retort_status check_inputs(const rt_builder *b, const char *file, retort_error *err) {
    const rt_graph *graph = b->graph;
    int64_t vocab = b->encoder->config.vocab;
    int ids = rt_value_find(graph, "input_ids"), mask = rt_value_find(graph, "attention_mask");
    if (ids < 0) return rt_fail(err, RETORT_UNSUPPORTED, "%.200s: no node reads the input input_ids", file);
    if (mask < 0)
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%.200s: no node reads the input attention_mask: padding would change the answers",
                       file);
    for (size_t i = 0; i < graph->node_count; i++) {
        const rt_node *node = &graph->nodes[i];
        if (node->op != RT_OP_GATHER || node->inputs[GATHER_INDICES] != ids) continue;
        int64_t found = graph->values[node->inputs[GATHER_DATA]].dims[0];
        if (found != vocab)
            return rt_fail(err, RETORT_FORMAT,
                           "%.200s: node '%.120s': a table of %" PRId64 " words, config.json says %" PRId64,
                           file, node->name, found, vocab);
    }
    return RETORT_OK;
}

retort_status rt_build_onnx(rt_builder *b, retort_error *err) {
    const rt_encoder *encoder = b->encoder;
    const char *out[2];
    int values[2] = {-1, -1};
    size_t count = choose_outputs(encoder, out);
    rt_onnx_graph_options options = {.file = encoder->graph_file,
                                     .epsilon = encoder->config.epsilon,
                                     .positions = encoder->config.positions,
                                     .vocab = encoder->config.vocab,
                                     .padding = rt_config_pad_id(&encoder->config)};
    retort_status status = rt_onnx_graph(b->graph, &encoder->onnx, &options, count, out, values, err);
    if (status == RETORT_OK) status = check_inputs(b, options.file, err);
    if (status != RETORT_OK) return status;
    int output = count == 2 ? join(b, values[0], values[1]) : values[0];
    b->ids = rt_value_find(b->graph, "input_ids");
    b->mask = rt_value_find(b->graph, "attention_mask");
    if (output >= 0) status = check_output(b, output, options.file, err);
    if (status == RETORT_OK && encoder->config.task == RETORT_TASK_FILL)
        output = rt_emit2(b, RT_OP_MASK_TOKEN_ROWS, "head", "rows", output, b->ids);
    if (status == RETORT_OK && encoder->config.task == RETORT_TASK_EMBED) output = rt_build_head(b, output);
    b->graph->output = output;
    bool whole = status == RETORT_OK && output >= 0 && b->graph->fault.status == RETORT_OK;
    return whole ? rt_graph_sweep(b->graph, err) : status;
}
