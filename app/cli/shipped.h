/* SPDX-License-Identifier: Apache-2.0
 * Models that come with retort, by name. */
#ifndef CLI_SHIPPED_H
#define CLI_SHIPPED_H

#include "cli/output.h"

/* The model that comes with retort, which `run` takes when none is named. */
#define CLI_DEFAULT_MODEL "sentiment"
/* The path of a model: the word itself, or, where it is a bare name and no file, that of NAME.retort in the
 * folders of the environment variable RETORT_MODELS (colons between them), or where retort keeps its own.
 * *out: the caller frees it. Errors are printed, with the folders that were searched. */
cli_code cli_find_model(char **out, const char *word);

#endif
