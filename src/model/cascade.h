/* SPDX-License-Identifier: Apache-2.0
 * A cascade: cheap stages before a model, each of which answers the texts that it is sure of. In a .retort file, the
 * model is stored as any other. Beside it there are, for stage N from 1 on:
 *   retort.cascade           JSON: epsilon, confidence, counts of texts, and kind, threshold and shares of each stage
 *   retort.stage.N.graph     and .config, .origin: of a stage that is a model
 *   stage.N.NAME             its tensors; those with the bytes of the full model's NAME are not stored again
 *   stage.N.weights          s8 [buckets, labels], .scales and .biases f32 [labels, padded to 16]: of one on n-grams
 * The tokenizer is the full model's. */
#ifndef RT_MODEL_CASCADE_H
#define RT_MODEL_CASCADE_H

#include "model/model.h"
#include "model/stages.h"

/* A model that answers as `full` does, after the stages of the cascade; takes the cascade, also where it fails. */
retort_status rt_cascade_model(retort_model **out, const retort_model *full, rt_cascade *cascade,
                               retort_error *err);
/* The full model of a cascade. */
retort_model *rt_cascade_full(const retort_model *model);
/* Whether a model can be the full one, or (full given) a stage before it: one label per text, and as a stage the same labels,
 * tokenizer and length. `what` begins the error. */
retort_status rt_cascade_check(const retort_model *model, const retort_model *full, const char *what,
                               retort_error *err);
/* RETORT_UNSUPPORTED for a cascade: `verb` works on one model. */
retort_status rt_cascade_refuse(const retort_model *model, const char *verb, retort_error *err);
/* The largest softmax probability of a row of logits, and (may be NULL) its label. */
double rt_cascade_sureness(const float *logits, size_t labels, size_t *label);

#endif
