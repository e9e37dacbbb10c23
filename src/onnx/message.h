/* SPDX-License-Identifier: Apache-2.0
 * protobuf-c's structs, which the build makes from onnx.proto. */
#ifndef RT_ONNX_MESSAGE_H
#define RT_ONNX_MESSAGE_H

#include <onnx/onnx.pb-c.h>

#endif
