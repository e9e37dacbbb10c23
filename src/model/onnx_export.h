/* SPDX-License-Identifier: Apache-2.0
 * A model as ONNX: inputs input_ids, attention_mask and, of BERT, token_type_ids, i64 [batch, sequence],
 * padded; one output in float, "logits" or "sentence_embedding" ("start_logits" and "end_logits" of an answer
 * model), as Hugging Face's exports name them. Any level of the graph can be written: fused operators become
 * standard ones. */
#ifndef RT_MODEL_ONNX_EXPORT_H
#define RT_MODEL_ONNX_EXPORT_H

#include "model/model.h"
#include "onnx/writer.h"

/* *out borrows constants from the model, which must outlive it; rt_onnx_close frees it. Rows that a fill
 * model leaves out are all there: logits [batch, sequence, vocab]. */
retort_status rt_onnx_from_model(rt_onnx *out, const retort_model *model, const rt_onnx_options *options,
                                 retort_error *err);
/* The same as the bytes of a file, for an engine that reads them from memory; the caller frees them.
 * RETORT_LIMIT beyond 2 GiB. */
retort_status rt_onnx_write(const retort_model *model, const rt_onnx_options *options, uint8_t **bytes,
                            size_t *length, retort_error *err);
/* retort_model_export. */
retort_status rt_onnx_export(const retort_model *model, const char *path,
                             const retort_export_options *options, retort_export_info *info,
                             retort_error *err);

#endif
