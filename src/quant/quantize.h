/* SPDX-License-Identifier: Apache-2.0
 * From a float model to an integer one, by a recipe. */
#ifndef RT_QUANT_QUANTIZE_H
#define RT_QUANT_QUANTIZE_H

#include "graph/package.h"

/* One row a recipe: name, bits of matrices, bits of the word table, what it does. */
#define RT_RECIPES(X)                                                                                        \
    X("int8", 8, 8, "8 bits, rounded to nearest with min-MSE scales a column")                               \
    X("int4", 4, 4, "4 bits in groups with two-level min-MSE scales, rounded to nearest")

/* Options as retort_model_quantize has checked them. */
retort_status rt_quantize(retort_model **out, const retort_model *model,
                          const retort_quantize_options *options, retort_error *err);

#endif
