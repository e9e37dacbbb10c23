/* SPDX-License-Identifier: Apache-2.0
 * An ONNX file from memory: as our own export, and as the graph of a small BERT and DistilBERT. */
#include "model/onnx_own.h"
#include "arch/onnx_weights.h"
#include "onnx/normalize.h"
#include "touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What fuzz/make_onnx.py makes. */
static const rt_config configs[] = {
    {.arch = &rt_arch_bert,
     .layers = 1,
     .hidden = 4,
     .heads = 2,
     .ffn = 4,
     .vocab = 6,
     .positions = 4,
     .types = 2,
     .activation = RT_FN_GELU,
     .epsilon = 1e-12f,
     .task = RETORT_TASK_CLASSIFY,
     .pooler = true,
     .labels = 2},
    {.arch = &rt_arch_distilbert,
     .layers = 1,
     .hidden = 4,
     .heads = 2,
     .ffn = 4,
     .vocab = 6,
     .positions = 4,
     .activation = RT_FN_GELU,
     .epsilon = 1e-12f,
     .task = RETORT_TASK_CLASSIFY,
     .labels = 2},
    {.arch = &rt_arch_bert,
     .layers = 1,
     .hidden = 4,
     .heads = 2,
     .ffn = 4,
     .vocab = 6,
     .positions = 4,
     .types = 2,
     .activation = RT_FN_GELU,
     .epsilon = 1e-12f,
     .task = RETORT_TASK_FILL,
     .labels = 6},
};

static void read_weights(const rt_onnx *onnx, const rt_config *config) {
    rt_tensors tensors = {0};
    retort_error err;
    if (rt_onnx_weights(&tensors, onnx, "fuzz", config, &err) == RETORT_OK) {
        volatile uint8_t sink = touch(&tensors);
        (void)sink;
    }
    rt_tensors_close(&tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rt_onnx onnx;
    retort_error err;
    bool own;
    if (rt_onnx_parse(&onnx, "fuzz", NULL, data, size, &err) != RETORT_OK) return 0;
    retort_model *model = rt_model_new();
    if (model != NULL) rt_onnx_own(model, "fuzz", &onnx, &own, &err);
    retort_model_free(model);
    bool normal = rt_onnx_normalize(&onnx, &err) == RETORT_OK;
    for (size_t i = 0; normal && i < sizeof configs / sizeof *configs; i++) read_weights(&onnx, &configs[i]);
    rt_onnx_close(&onnx);
    return 0;
}
