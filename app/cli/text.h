/* SPDX-License-Identifier: Apache-2.0
 * Untrusted text, as it is printed: escaped, and in columns of a table. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* Prints text from files and people, escaped by retort_escape; cli_error, cli_warning and cli_print_json
 * escape by themselves. */
void cli_put(FILE *to, const char *text, size_t length);
void cli_put_line(FILE *to, const char *text);
/* Padded with spaces to `width` columns of a terminal. */
void cli_put_column(FILE *to, int width, const char *text);
/* The columns that the text occupies. */
int cli_columns(const char *text);

#endif
