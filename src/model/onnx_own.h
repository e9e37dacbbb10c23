/* SPDX-License-Identifier: Apache-2.0
 * Our own exports read again: their metadata has the graph's text, the configuration and the tokenizer, their
 * initializers the constants. */
#ifndef RT_MODEL_ONNX_OWN_H
#define RT_MODEL_ONNX_OWN_H

#include "base/names.h"
#include "model/onnx_export.h"

/* Keys of the metadata, beside those of a .retort file. */
#define RT_ONNX_EXPORT "retort.export" /* how it was written: "", "fused", "standard" */
#define RT_ONNX_VOCAB  "tokenizer.vocab"

#define RT_ONNX_GROUPS "retort.groups." /* and a constant's name: its bytes as hexadecimal digits */

/* What a file has by names: the first of each. */
typedef struct rt_onnx_index {
    const rt_onnx *onnx;
    rt_names tensors, groups; /* initializers; of metadata, constants whose bytes it holds */
} rt_onnx_index;

/* Into a zeroed one, which rt_onnx_index_free frees also when it is half made. False: out of memory. */
bool rt_onnx_index_make(rt_onnx_index *index, const rt_onnx *onnx);
void rt_onnx_index_free(rt_onnx_index *index);
/* The initializer of that name; NULL when there is none. */
const rt_onnx_tensor *rt_onnx_find(const rt_onnx_index *index, const char *name);

/* The scales of 4-bit groups, which other tensors hold multiplied with codes. */
bool rt_onnx_describe_groups(rt_onnx *onnx, const rt_graph *graph);
/* Whether rt_onnx_take_integers makes a constant's data: packed integers, and what belongs to them. */
bool rt_onnx_is_made(const rt_value *v);
/* Fills them from the file. False: it is not what we write, or (*memory false) memory ran out. Shapes are
 * verified. */
bool rt_onnx_take_integers(rt_graph *graph, const rt_onnx_index *file, bool *memory);

/* Adds the metadata that rt_onnx_own reads. */
retort_status rt_onnx_describe(rt_onnx *onnx, const retort_model *model, const rt_onnx_options *options,
                               retort_error *err);
/* Fills an empty model from an ONNX file (`name`, for error texts) when its nodes are still those that we
 * would write of the graph in its metadata; *own says so. Else (also when it has no such metadata) the model
 * stays empty: somebody has changed the graph, or it was never ours. */
retort_status rt_onnx_own(retort_model *model, const char *name, const rt_onnx *onnx, bool *own,
                          retort_error *err);

#endif
