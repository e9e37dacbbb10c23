/* SPDX-License-Identifier: Apache-2.0
 * From a float model to an integer one, by a recipe. */
#ifndef RT_QUANT_QUANTIZE_H
#define RT_QUANT_QUANTIZE_H

#include "graph/package.h"

/* How a column's codes are found: each to the nearest, or with errors made up for by later ones. */
typedef enum rt_rounding { RT_ROUND_NEAREST, RT_ROUND_GPTQ } rt_rounding;

/* One row a recipe: name, bits of matrices, bits of the word table, rounding, whether a few columns of each
 * matrix keep 8 bits, what it does. Another rounding than to nearest needs data. */
#define RT_RECIPES(X)                                                                                        \
    X("int8", 8, 8, NEAREST, false, "8 bits, rounded to nearest with min-MSE scales a column")               \
    X("int4", 4, 4, NEAREST, false, "4 bits in groups with two-level min-MSE scales, rounded to nearest")    \
    X("gptq", 4, 4, GPTQ, false, "4 bits; errors are made up for by later weights, on calibration data")     \
    X("owq", 4, 4, GPTQ, true, "gptq; the input columns that lose most of each matrix keep 8 bits")

/* Options as retort_model_quantize has checked them. */
retort_status rt_quantize(retort_model **out, const retort_model *model,
                          const retort_quantize_options *options, retort_error *err);

#endif
