/* SPDX-License-Identifier: Apache-2.0
 * --texts of an import: the texts that decide which pieces of the vocabulary stay. */
#ifndef CLI_VOCABULARY_H
#define CLI_VOCABULARY_H

#include "cli/options.h"
#include "retort.h"

#include <jansson.h>

typedef struct cli_vocabulary {
    retort_dataset **files; /* [file_count] own what the texts point into */
    size_t file_count;
    retort_text *texts; /* [count] of all files */
    size_t count;
} cli_vocabulary;
/* `options` say which columns have the texts. Nothing if there is no such option. Errors are printed. */
cli_code cli_open_vocabulary(cli_vocabulary *out, const cli_args *args, retort_dataset_options options);
void cli_close_vocabulary(cli_vocabulary *vocabulary);

/* How the vocabulary of a model was restricted, on stdout, on stderr, and as JSON; nothing and NULL if it is whole. */
void cli_print_restriction(const retort_model *model);
void cli_say_restriction(const retort_model *model);
json_t *cli_restriction_json(const retort_model *model);

#endif
