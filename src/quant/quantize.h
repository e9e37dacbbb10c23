/* SPDX-License-Identifier: Apache-2.0
 * Turns a float model into an integer model, by a recipe. */
#ifndef RT_QUANT_QUANTIZE_H
#define RT_QUANT_QUANTIZE_H

#include "model/model.h"

/* Options, already checked by retort_model_quantize. */
retort_status rt_quantize(retort_model **out, const retort_model *model,
                          const retort_quantize_options *options, retort_error *err);

#endif
