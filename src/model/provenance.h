/* SPDX-License-Identifier: Apache-2.0
 * The origin of a model: the recipe of its weights, and the rewrites that its graph lacks. retort.origin and
 * retort_model_info show both as one text, "int8 embeddings=8 without=attention". */
#ifndef RT_MODEL_PROVENANCE_H
#define RT_MODEL_PROVENANCE_H

#include "base/memory.h"
#include "retort.h"

/* Strings are in the model's arena, or in that of the model it was derived from. */
typedef struct rt_provenance {
    retort_dtype weights; /* of the matrices: f32, bf16, or s8 for every integer recipe */
    const char *recipe;   /* "fp32", "bf16", a recipe with its options, or "fp32 of" such a one */
    const char *left_out; /* names of rewrites, separated by commas; NULL: none */
    const char *text;     /* of both, for display */
} rt_provenance;

/* Keeps left_out. */
retort_status rt_provenance_set(rt_provenance *p, rt_arena *arena, retort_dtype weights, const char *recipe,
                                retort_error *err);
/* Adds names to the rewrites that were left out. */
retort_status rt_provenance_leave_out(rt_provenance *p, rt_arena *arena, const char *const *names,
                                      size_t count, retort_error *err);
/* From the text of a file. */
retort_status rt_provenance_parse(rt_provenance *p, rt_arena *arena, const char *text, retort_error *err);

#endif
