/* SPDX-License-Identifier: Apache-2.0
 * The weights of an encoder, found in somebody's ONNX graph by what is computed with them: names of tensors
 * mean nothing there. The graph is walked from its output back to the ids, and each node must be one that
 * such an encoder has there. */
#ifndef RT_ARCH_ONNX_WEIGHTS_H
#define RT_ARCH_ONNX_WEIGHTS_H

#include "onnx/onnx.h"
#include "arch/encoder.h"

/* Adds the weights that config->task needs to *out, under the names that a checkpoint of config->arch has;
 * what had to be transposed, or made from integers, is in out->arena, the rest is borrowed from *onnx. A
 * graph that is another's is refused by the first node that does not fit: also another activation, epsilon or
 * number of layers than `config` says. */
retort_status rt_onnx_weights(rt_tensors *out, const rt_onnx *onnx, const char *file, const rt_config *config,
                              retort_error *err);

#endif
