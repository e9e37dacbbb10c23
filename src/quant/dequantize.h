/* SPDX-License-Identifier: Apache-2.0
 * Turns an integer model back into a float model. */
#ifndef RT_QUANT_DEQUANTIZE_H
#define RT_QUANT_DEQUANTIZE_H

#include "model/model.h"

/* Replaces every integer weight by the float it stands for; activations are no longer rounded. */
retort_status rt_dequantize(retort_model **out, const retort_model *model, retort_error *err);

#endif
