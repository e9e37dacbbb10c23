/* SPDX-License-Identifier: Apache-2.0
 * The recipes, a row each. */
#ifndef RT_QUANT_RECIPE_H
#define RT_QUANT_RECIPE_H

#include "quant/scale.h"

/* How the codes of a column are rounded: to nearest, or so that later codes compensate errors (GPTQ). */
typedef enum rt_rounding { RT_ROUND_NEAREST, RT_ROUND_GPTQ } rt_rounding;

/* Activation ranges: per row, or one for all rows. */
typedef enum rt_activations { RT_ACTIVATIONS_DYNAMIC, RT_ACTIVATIONS_STATIC } rt_activations;

/* One row per recipe: name, bits of matrices, bits of the word table, group, channel scaling, rounding,
 * whether each matrix has outlier columns in 8 bits, activations, whether it measures importance (then
 * outputs count by what their errors cost; below 8 bits, frequent words keep 8, and coordinate descent follows GPTQ),
 * description. A recipe needs data if
 * it scales channels, does not round to nearest, or has static activations. */
#define RT_RECIPES(X)                                                                                        \
    X("int8", 8, 8, 64, NONE, NEAREST, false, DYNAMIC, false,                                                \
      "8 bits, rounded to nearest with min-MSE scales per column")                                           \
    X("int8-static", 8, 8, 64, NONE, NEAREST, false, STATIC, false,                                          \
      "int8 with a fixed range for each activation")                                                         \
    X("smoothquant", 8, 8, 64, SMOOTH, NEAREST, false, DYNAMIC, false,                                       \
      "int8 with columns of activations scaled to similar ranges, which the weights undo")                   \
    X("smoothquant+gptq", 8, 8, 64, SMOOTH, GPTQ, false, DYNAMIC, true,                                      \
      "smoothquant; later weights compensate rounding errors, outputs weighted by what they cost")           \
    X("int4", 4, 4, 64, NONE, NEAREST, false, DYNAMIC, false,                                                \
      "4 bits in groups with two-level min-MSE scales, rounded to nearest")                                  \
    X("awq", 4, 4, 64, AWQ, NEAREST, false, DYNAMIC, false,                                                  \
      "int4 with the weights of larger activations scaled up, and activations down")                         \
    X("gptq", 4, 4, 64, NONE, GPTQ, false, DYNAMIC, false,                                                   \
      "4 bits; later weights compensate rounding errors")                                                    \
    X("owq", 4, 4, 64, NONE, GPTQ, true, DYNAMIC, false,                                                     \
      "gptq; the most sensitive input columns of each matrix keep 8 bits")                                   \
    X("ptq+owq", 4, 4, 32, NONE, GPTQ, true, DYNAMIC, true,                                                  \
      "owq; outputs and words weighted by what their errors cost, frequent words in 8 bits")

/* A row of RT_RECIPES. */
typedef struct rt_recipe {
    const char *name;
    int bits, table_bits, group;
    rt_scaling scaling;
    rt_rounding rounding;
    bool outliers;
    rt_activations activations;
    bool important;
    const char *help;
} rt_recipe;

/* The recipe of that name; NULL: there is none, and the error names those that there are. NULL as a name: the first. */
const rt_recipe *rt_recipe_find(const char *name, retort_error *err);

/* Whether matrices are calibrated in waves. */
static inline bool rt_recipe_calibrates(const rt_recipe *row) {
    return row->scaling != RT_SCALE_NONE || row->rounding != RT_ROUND_NEAREST;
}

#endif
