/* SPDX-License-Identifier: Apache-2.0
 * Tensors of an ONNX file that are kept in other files. */
#ifndef RT_ONNX_EXTERNAL_H
#define RT_ONNX_EXTERNAL_H

#include "onnx/onnx.h"
#include "onnx/message.h"

/* Points tensor->data to the bytes that `message` locates in a file below `folder`. The file is mapped once and
 * kept in onnx->maps; tensor->bytes is the size that it must have. */
retort_status rt_onnx_external(rt_onnx *onnx, const char *file, const char *folder,
                               const RtOnnx__Tensor *message, rt_onnx_tensor *tensor, retort_error *err);

#endif
