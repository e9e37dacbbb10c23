/* SPDX-License-Identifier: Apache-2.0
 * The metadata of our ONNX exports: the model that they were made from. */
#ifndef RT_MODEL_ONNX_METADATA_H
#define RT_MODEL_ONNX_METADATA_H

#include "base/names.h"
#include "model/model.h"
#include "onnx/writer.h"

/* Keys of the metadata, beside those of a .retort file. */
#define RT_ONNX_EXPORT "retort.export" /* how it was written: "", "fused", "standard" */
#define RT_ONNX_VOCAB  "tokenizer.vocab"
#define RT_ONNX_TABLE  "tokenizer.table" /* as hexadecimal digits; absent where the tokenizer has none */

#define RT_ONNX_GROUPS "retort.groups." /* and a constant's name: its bytes as hexadecimal digits */

/* Indexes the contents of a file by name, the first of each name. */
typedef struct rt_onnx_index {
    const rt_onnx *onnx;
    rt_names tensors, groups; /* initializers; of metadata, constants whose bytes it holds */
} rt_onnx_index;

/* Fills a zeroed index; rt_onnx_index_free also frees a half-made one. False: out of memory. */
bool rt_onnx_index_make(rt_onnx_index *index, const rt_onnx *onnx);
void rt_onnx_index_free(rt_onnx_index *index);
/* The initializer of that name, or NULL. */
const rt_onnx_tensor *rt_onnx_find(const rt_onnx_index *index, const char *name);

/* Whether the metadata holds a constant's bytes: scales of groups, which other tensors hold multiplied with
 * codes; pruned ids of a table; ids whose rows stay int8. */
bool rt_onnx_is_metadata(const rt_value *v);
/* Reads group scales. False: they are missing, or have another number of bytes. */
/* From 2 * bytes digits. False when there are others. */
bool rt_onnx_read_digits(const char *text, uint8_t *out, size_t bytes);
bool rt_onnx_read_groups(const rt_onnx_index *index, const rt_value *v, uint8_t *out, size_t bytes);

/* Adds the metadata that rt_onnx_own reads. */
retort_status rt_onnx_describe(rt_onnx *onnx, const retort_model *model, const rt_onnx_options *options,
                               retort_error *err);

#endif
