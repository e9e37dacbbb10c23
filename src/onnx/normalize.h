/* SPDX-License-Identifier: Apache-2.0
 * One form for what quantisers write in two. */
#ifndef RT_ONNX_NORMALIZE_H
#define RT_ONNX_NORMALIZE_H

#include "onnx/onnx.h"

/* Rewrites operators that compute on integers (QLinearMatMul, QLinearAdd, QGemm …) as the operator on floats
 * between DequantizeLinear and QuantizeLinear, which is what they are defined as. A graph that has none of them
 * is left as it is. Nodes are taken in the file's order; at most eight come of one. */
retort_status rt_onnx_normalize(rt_onnx *onnx, retort_error *err);

#endif
