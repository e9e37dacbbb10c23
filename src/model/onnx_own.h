/* SPDX-License-Identifier: Apache-2.0
 * Our own exports read again: their metadata has the graph's text, the configuration and the tokenizer, their
 * initializers the constants. */
#ifndef RT_MODEL_ONNX_OWN_H
#define RT_MODEL_ONNX_OWN_H

#include "model/model.h"
#include "onnx/onnx.h"

/* Fills an empty model from an ONNX file (`name`, for error texts) when its nodes are still those that we
 * would write of the graph in its metadata; *own says so. Else (also when it has no such metadata) the model
 * stays empty: somebody has changed the graph, or it was never ours. */
retort_status rt_onnx_own(retort_model *model, const char *name, const rt_onnx *onnx, bool *own,
                          retort_error *err);

#endif
