/* SPDX-License-Identifier: Apache-2.0
 * The start of quantisation-aware training: what a recipe makes of a float model. */
#ifndef RT_TRAIN_QAT_START_H
#define RT_TRAIN_QAT_START_H

#include "train/qat.h"

/* Brings the model to level 3, quantises it as options->recipe, bits, embeddings and group say, with options->data where
 * the recipe needs data, and opens the result for training. */
retort_status rt_qat_start(rt_trainee *out, const retort_model *model, const retort_train_options *options,
                           const rt_qat_options *how, retort_error *err);

#endif
