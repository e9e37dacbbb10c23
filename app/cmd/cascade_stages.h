/* SPDX-License-Identifier: Apache-2.0
 * The stages of a cascade, for people and as JSON. */
#ifndef CMD_CASCADE_STAGES_H
#define CMD_CASCADE_STAGES_H

#include "retort.h"

#include <jansson.h>

/* Nothing if the model is no cascade. */
void cascade_print(const retort_model *model);
/* NULL if it is none. */
json_t *cascade_json(const retort_model *model);
/* "linear", "student" or "full" */
const char *cascade_stage_name(retort_stage_kind kind);

#endif
