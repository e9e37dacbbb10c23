/* SPDX-License-Identifier: Apache-2.0
 * Trains a model. */
#ifndef RT_TRAIN_TRAIN_H
#define RT_TRAIN_TRAIN_H

#include "model/model.h"

/* Options, already checked by retort_train. */
retort_status rt_train(retort_model **out, const retort_model *model, const retort_train_options *options,
                       retort_train_result *result, retort_error *err);

#endif
