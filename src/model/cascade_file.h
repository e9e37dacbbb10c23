/* SPDX-License-Identifier: Apache-2.0
 * A cascade in a .retort file: see cascade.h. */
#ifndef RT_MODEL_CASCADE_FILE_H
#define RT_MODEL_CASCADE_FILE_H

#include "base/error.h"
#include "base/tensor.h"
#include "model/stages.h"

#define RT_CASCADE_KEY "retort.cascade"

/* The JSON of retort.cascade; free() it. NULL: out of memory. */
char *rt_cascade_text(const rt_cascade *cascade);
/* Reads it into a zeroed cascade; ngrams[i]: stage i is on n-grams, else a model. `name`: of the file. */
retort_status rt_cascade_read(rt_cascade *cascade, bool ngrams[RT_MOST_STAGES], const char *name,
                              const char *text, retort_error *err);

/* "stage.N.name" or "retort.stage.N.name" of stage `index`, counted from 0, in the arena. NULL: out of memory. */
const char *rt_stage_tensor_name(rt_arena *arena, size_t index, const char *name);
const char *rt_stage_key(rt_arena *arena, size_t index, const char *name);

enum { RT_NGRAMS_WEIGHTS, RT_NGRAMS_SCALES, RT_NGRAMS_BIASES, RT_NGRAMS_TENSORS };
extern const char *const rt_ngrams_names[RT_NGRAMS_TENSORS];
/* The tensors of a stage on n-grams, without names; floats are copied to the arena, padded to 64 bytes. False: out of memory. */
bool rt_ngrams_store(const rt_ngrams *ngrams, rt_arena *arena, rt_tensor out[RT_NGRAMS_TENSORS]);
/* The reverse; tensors may be NULL: not in the file. */
retort_status rt_ngrams_load(rt_ngrams *out, const rt_tensor *const tensors[RT_NGRAMS_TENSORS], size_t labels,
                             const char *name, size_t index, retort_error *err);

#endif
