/* SPDX-License-Identifier: Apache-2.0
 * Texts from the command line, from --data, from lines of stdin or from the rows of a table. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "cli/options.h"
#include "cli/output.h"
#include "cli/rows.h"
#include "retort.h"

/* Texts from the command line, or lines of stdin if it has none. */
typedef struct cli_input {
    char **words;
    size_t word_count, next;
    char *buffer;
    size_t start, length, capacity; /* unread bytes: [start, length) */
    size_t lines;                   /* complete lines among them */
    size_t taken;                   /* lines or words so far */
    bool end;
    retort_dataset *data; /* NULL without --data */
    cli_rows *rows;       /* of a table; NULL: none. The caller's */
} cli_input;
/* Texts are the words from `first` on, or those of --data if it is given. Errors are printed. */
cli_code cli_input_open(cli_input *input, const cli_args *args, int first, const retort_model *model);
/* Up to `max` lines, valid until the next call. Waits for the first line, and takes more only if they are
 * ready. *n is 0 at the end. */
cli_code cli_input_take(cli_input *input, retort_text *lines, size_t max, size_t *n);
/* Texts that can be taken without waiting: reads on until there are `most`, or as long as lines are ready. 0: at the end,
 * too. Texts that were taken before become invalid. */
cli_code cli_input_look(cli_input *input, size_t most, size_t *n);
void cli_input_close(cli_input *input);
/* With --pairs, or if the task expects pairs, splits text `number` (from 1) at its first tab; without one --pairs is an
 * error, which is printed. Otherwise a tab is a part of the text. */
cli_code cli_split_pair(const cli_input *input, const cli_args *args, retort_text *text, size_t number,
                        bool expected);

#endif
