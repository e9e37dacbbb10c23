/* SPDX-License-Identifier: Apache-2.0
 * From an integer model back to a float one. */
#ifndef RT_QUANT_DEQUANTIZE_H
#define RT_QUANT_DEQUANTIZE_H

#include "graph/package.h"

/* Every integer weight becomes the float that it stands for; rows of activations are not rounded any more. */
retort_status rt_dequantize(retort_model **out, const retort_model *model, retort_error *err);

#endif
