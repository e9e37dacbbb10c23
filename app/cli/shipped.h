/* SPDX-License-Identifier: Apache-2.0
 * Models that come with retort, by name. */
#ifndef CLI_SHIPPED_H
#define CLI_SHIPPED_H

#include "cli/output.h"

/* The model that `run` uses if none is named; it comes with retort. */
#define CLI_DEFAULT_MODEL "sentiment"
/* The path of a model: the word itself; its folder in the local cache of the hub, if it is OWNER/NAME; or, if it is a bare name and not a file, that of NAME.retort in
 * the folders of the environment variable RETORT_MODELS (separated by colons) or where retort keeps its
 * own models. The caller frees *out. Errors are printed, with the folders that were searched. */
cli_code cli_find_model(char **out, const char *word);

#endif
