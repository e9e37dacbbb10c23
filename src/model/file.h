/* SPDX-License-Identifier: Apache-2.0
 * Shared by writing, reading and checking .retort files. */
#ifndef RT_MODEL_FILE_H
#define RT_MODEL_FILE_H

#include "model/model.h"

#define RT_MODEL_VERSION "1"
#define RT_MODEL_VOCAB   "tokenizer.vocab"
#define RT_MODEL_TABLE   "tokenizer.table"

/* retort.config and retort.origin. The texts are malloc'ed; NULL: out of memory. */
char *rt_model_config_text(const rt_config *config);
char *rt_model_origin_text(const retort_model *model);
/* Read into model->config, or model->source and model->provenance; strings go to the arena of the model.
 * `name`: of the file. */
retort_status rt_model_read_config(retort_model *model, const char *name, const char *text,
                                   retort_error *err);
retort_status rt_model_read_origin(retort_model *model, const char *name, const char *text,
                                   retort_error *err);

/* Whether a verified graph can run as the model that the configuration and the tokenizer describe: inputs,
 * output, tables, and rows of values. */
retort_status rt_model_check(const retort_model *model, const char *name, retort_error *err);

/* RETORT_LIMIT if one text needs more memory than the budget of the current read (base/budget.h). */
retort_status rt_model_check_memory(const retort_model *model, retort_error *err);

#endif
