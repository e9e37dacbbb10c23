/* SPDX-License-Identifier: Apache-2.0
 * A provider runs whole models: the native engine, or another one found at run time. */
#ifndef RT_RUN_PROVIDER_H
#define RT_RUN_PROVIDER_H

#include "engine/batch.h"
#include "model/model.h"

typedef struct rt_provider rt_provider;
struct rt_provider {
    const char *name, *help;
    bool fused;       /* prefers an export with ONNX Runtime's fused operators */
    const void *kind; /* how providers of one library differ; else NULL */
    /* Whether it is available here: fills version and path. */
    retort_status (*probe)(const rt_provider *provider, retort_provider_info *info, retort_error *err);
    /* Makes *state for a model, which must outlive it. options are complete: no field that has a default
     * is NULL or 0. */
    retort_status (*open)(const rt_provider *provider, void **state, const retort_model *model,
                          const retort_session_options *options, retort_error *err);
    /* Rows of *out stay valid until the next call. */
    retort_status (*run)(void *state, const rt_batch *batch, retort_matrix *out, retort_error *err);
    void (*describe)(const void *state, retort_session_info *info);
    retort_status (*step)(const void *state, size_t index, retort_step_info *info);
    void (*close)(void *state); /* accepts NULL */
};

/* One row per provider. */
#define RT_PROVIDERS(X)                                                                                      \
    X(native)                                                                                                \
    X(onnxruntime)                                                                                           \
    X(onnxruntime_openvino)                                                                                  \
    X(openvino)                                                                                              \
    X(onnxruntime_cuda)                                                                                      \
    X(onnxruntime_tensorrt)
#define RT_PROVIDER_DECLARE(name) extern const rt_provider rt_provider_##name;
RT_PROVIDERS(RT_PROVIDER_DECLARE)
#undef RT_PROVIDER_DECLARE

#endif
