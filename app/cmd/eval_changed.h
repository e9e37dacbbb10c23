/* SPDX-License-Identifier: Apache-2.0
 * The texts whose answers differ from the reference's, the surest first: the list of --changed. */
#ifndef CMD_EVAL_CHANGED_H
#define CMD_EVAL_CHANGED_H

#include "cli/output.h"
#include "retort.h"

#include <jansson.h>

typedef struct eval_changed {
    size_t most;             /* that are listed */
    size_t count;            /* of all that changed */
    retort_eval_text *texts; /* [kept] the surest, in order */
    size_t kept;
} eval_changed;
/* Start with {0}. Refuses models that do not give each text one label. */
cli_code eval_changed_open(eval_changed *changed, const retort_model *model, size_t most);
void eval_changed_free(eval_changed *changed);
/* For retort_eval_options.each. */
int eval_changed_see(void *user, const retort_eval_text *text);
void eval_changed_print(const eval_changed *changed, const retort_model *model, const retort_dataset *data);
/* "changed": their number, and "changed_texts": the list. */
void eval_changed_json(const eval_changed *changed, const retort_model *model, const retort_dataset *data,
                       json_t *json);

#endif
