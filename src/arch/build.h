/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RT_ARCH_BUILD_H
#define RT_ARCH_BUILD_H

#include "graph/graph.h"
#include "arch/encoder.h"

/* The level-0 graph of an encoder, node for node what torch.onnx's export of the transformers model has
 * (Shape / Gather / Slice of position ids, MatMul + Add for each Linear, Reshape and Transpose around the
 * heads, Div by sqrt(d), mask by Where or Add, Softmax, Div / Erf / Add / Mul / Mul for GELU, …). Weights are
 * converted to float and transposed to ONNX's [in, out] into the graph's arena. mask_id: the tokenizer's, for
 * fill heads. */
retort_status rt_graph_build(rt_graph *out, const rt_encoder *encoder, int64_t mask_id, retort_error *err);

#endif
