/* SPDX-License-Identifier: Apache-2.0
 * Integer constants of our own exports. */
#ifndef RT_MODEL_ONNX_OWN_INTEGER_H
#define RT_MODEL_ONNX_OWN_INTEGER_H

#include "model/onnx_metadata.h"

/* Whether rt_onnx_take_integers makes the data of this constant: packed integers, and what belongs to
 * them. */
bool rt_onnx_is_made(const rt_value *v);
/* Fills them from the file. False: it is not what we write, or, with *memory false, out of memory. Shapes
 * have been verified. */
bool rt_onnx_take_integers(rt_graph *graph, const rt_onnx_index *file, bool *memory);

#endif
