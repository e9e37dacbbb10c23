/* SPDX-License-Identifier: Apache-2.0
 * Integer constants of our own exports. */
#ifndef RT_MODEL_ONNX_OWN_INTEGER_H
#define RT_MODEL_ONNX_OWN_INTEGER_H

#include "model/onnx_metadata.h"

/* Whether rt_onnx_take_integers makes a constant's data: packed integers, and what belongs to them. */
bool rt_onnx_is_made(const rt_value *v);
/* Fills them from the file. False: it is not what we write, or (*memory false) memory ran out. Shapes are
 * verified. */
bool rt_onnx_take_integers(rt_graph *graph, const rt_onnx_index *file, bool *memory);

#endif
