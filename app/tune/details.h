/* SPDX-License-Identifier: Apache-2.0
 * What the sealed rows show of a model beside the float model, kept for the report when they are opened: nothing runs on them
 * twice. */
#ifndef TUNE_DETAILS_H
#define TUNE_DETAILS_H

#include "retort.h"

#include <jansson.h>
#include <stddef.h>

/* Every text of the sealed rows. Start with {0}; free it. */
typedef struct tune_details {
    retort_eval_text *texts;
    size_t count, capacity;
} tune_details;
/* For retort_eval_options.each. */
int tune_details_see(void *user, const retort_eval_text *text);
void tune_details_free(tune_details *details);

/* An object with what the task has of:
 *   changed, changed_texts   texts whose answer is another one, the surest first (tags: those that changed most)
 *   only_before, only_after  texts that one of the two alone gets right; mcnemar: their two-sided mid-p
 *   labels, confusion        {before, after}: rows are the text's own label, columns the one it got; of few labels
 *   confused                 of many: the pairs of labels that are taken for each other most, before and after
 *   bins, ece                how often an answer of a given probability is right: ten bins, and the expected calibration
 *                            error {before, after} */
json_t *tune_details_json(const tune_details *details, const retort_model *model, const retort_dataset *data);

#endif
