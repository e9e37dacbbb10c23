/* SPDX-License-Identifier: Apache-2.0
 * An ONNX file as a graph of level 0. */
#ifndef RT_ONNX_READ_GRAPH_H
#define RT_ONNX_READ_GRAPH_H

#include "graph/graph.h"
#include "onnx/onnx.h"

typedef struct rt_onnx_graph_options {
    const char *file;  /* for errors */
    float epsilon;     /* of LayerNorm, where float16 could not hold it */
    int64_t positions; /* tokens of the longest text */
    int64_t vocab;     /* ids are 0 … vocab - 1; 0: not known */
    int64_t padding;   /* the one of them that no text may hold; -1: none */
} rt_onnx_graph_options;

/* Adds to *graph (zeroed but for output and mask_id, or with nodes of the caller's) the operators that the named
 * outputs of *onnx need, as plain operators of level 0; values[i] is that of names[i]. Inputs are input_ids,
 * attention_mask and token_type_ids, i64 [batch, seq].
 *
 * While reading, ONNX Runtime's fused operators become plain ones, integers times their scales become floats, and
 * activations that a quantiser rounds stay floats. What is computed from attention_mask or from shapes alone is
 * evaluated for a few batches: where it is a mask of keys, or the position of each token, their plain form takes
 * its place. A node that cannot be read is refused by name with RETORT_UNSUPPORTED.
 *
 * Constants are copied into the graph: *onnx may be closed. Time and memory are proportional to the size of the
 * file; on failure the caller frees *graph. */
retort_status rt_onnx_graph(rt_graph *graph, const rt_onnx *onnx, const rt_onnx_graph_options *options,
                            size_t count, const char *const *names, int *values, retort_error *err);

#endif
