/* SPDX-License-Identifier: Apache-2.0
 * protobuf-c's structs, which the build makes from onnx.proto. */
#ifndef RT_FILE_ONNX_MESSAGE_H
#define RT_FILE_ONNX_MESSAGE_H

#include <file/onnx.pb-c.h>

#endif
