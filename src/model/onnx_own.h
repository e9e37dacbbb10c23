/* SPDX-License-Identifier: Apache-2.0
 * Reads our own exports: their metadata has the text of the graph, the configuration and the tokenizer; their
 * initializers are the constants. */
#ifndef RT_MODEL_ONNX_OWN_H
#define RT_MODEL_ONNX_OWN_H

#include "model/model.h"
#include "onnx/onnx.h"

/* Fills an empty model from an ONNX file (`name`, for errors) if its nodes are still those that we would
 * write for the graph in its metadata; then *own is true. Otherwise, also without such metadata, the model
 * stays empty: somebody changed the graph, or it was never ours. */
retort_status rt_onnx_own(retort_model *model, const char *name, const rt_onnx *onnx, bool *own,
                          retort_error *err);

#endif
