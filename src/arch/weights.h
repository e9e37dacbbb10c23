/* SPDX-License-Identifier: Apache-2.0
 * From named tensors to the roles of an encoder. */
#ifndef RT_ARCH_WEIGHTS_H
#define RT_ARCH_WEIGHTS_H

#include "arch/encoder.h"
#include "arch/modules.h"

/* Names and layouts of TensorFlow's files as torch's; what training keeps beside the weights is left out.
 * Nothing to do for torch's own. Transposed matrices are copies: at most the file's bytes. */
retort_status rt_weights_rename(rt_tensors *tensors, const char *file, retort_error *err);
/* The task whose head is among the tensors; plain encoders embed. */
retort_task rt_weights_task(const rt_tensors *tensors, const rt_arch *arch);
/* The prefixes that this file's word embedding has, of a wrapper and of the base model; the plain ones when it has none. A
 * base model alone has none of its own. */
void rt_weights_prefixes(const rt_tensors *tensors, const rt_arch *arch, const char **root,
                         const char **base);
/* Fills the roles of encoder->config from encoder->tensors: each found by one of its names, of the shape that
 * the configuration says, of a float type, and finite. Only the layers that the options keep, which are then
 * encoder->config.layers; what a new head has and the file does not is drawn. `file` starts error texts. */
retort_status rt_weights_bind(rt_encoder *encoder, const rt_encoder_options *options, const char *file,
                              retort_error *err);
/* Opens the weights of the modules of a package, and checks that each takes what the one before gives. */
retort_status rt_weights_bind_modules(rt_encoder *e, const rt_modules *package, retort_error *err);

enum { RT_WEIGHT_NAME = 128 }; /* of a tensor, less ".weight" and ".bias" */

#endif
