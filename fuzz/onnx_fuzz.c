/* SPDX-License-Identifier: Apache-2.0
 * An ONNX file from memory: as our own export, and as anybody's graph. */
#include "model/onnx_own.h"
#include "graph/rewrite.h"
#include "onnx/read_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The graph of the first output, through all rewrites. */
static void read_graph(const rt_onnx *onnx) {
    const rt_onnx_graph_options options = {
        .file = "fuzz", .epsilon = 1e-12f, .positions = 4, .vocab = 6, .padding = -1};
    retort_optimize_options levels = RETORT_OPTIMIZE_OPTIONS;
    rt_graph graph = {.output = -1, .mask_id = -1};
    retort_error err;
    if (onnx->output_count > 0 &&
        rt_onnx_graph(&graph, onnx, &options, 1, &onnx->outputs[0].name, &graph.output, &err) == RETORT_OK &&
        rt_graph_sweep(&graph, &err) == RETORT_OK && rt_graph_verify(&graph, &err) == RETORT_OK)
        rt_graph_optimize(&graph, &levels, true, &err);
    rt_graph_free(&graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rt_onnx onnx;
    retort_error err;
    bool own;
    if (rt_onnx_parse(&onnx, "fuzz", NULL, data, size, &err) != RETORT_OK) return 0;
    retort_model *model = rt_model_new();
    if (model != NULL) rt_onnx_own(model, "fuzz", &onnx, &own, &err);
    retort_model_free(model);
    read_graph(&onnx);
    rt_onnx_close(&onnx);
    return 0;
}
