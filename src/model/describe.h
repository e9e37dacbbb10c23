/* SPDX-License-Identifier: Apache-2.0
 * What the public API tells of a model, its tensors and its stages. */
#ifndef RT_MODEL_DESCRIBE_H
#define RT_MODEL_DESCRIBE_H

#include "model/model.h"

/* RETORT_NOMEM is the only failure. */
retort_status rt_model_describe(const retort_model *model, retort_info *out);
/* RETORT_ARGUMENT beyond the last tensor; RETORT_NOMEM. */
retort_status rt_model_describe_tensor(const retort_model *model, size_t index, retort_tensor_info *out);
/* RETORT_ARGUMENT beyond the full model, which is the last stage, and without a cascade; RETORT_NOMEM. */
retort_status rt_model_describe_stage(const retort_model *model, size_t index, retort_stage_info *out);

#endif
