/* SPDX-License-Identifier: Apache-2.0
 * Text from files and from people, as it is printed: escaped, and in columns of a table. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* What comes from files and people is escaped as retort_escape has it; cli_error, cli_warning and
 * cli_print_json see to it themselves. */
void cli_put(FILE *to, const char *text, size_t length);
void cli_put_line(FILE *to, const char *text);
/* Filled up with spaces to `width` columns of a terminal. */
void cli_put_column(FILE *to, int width, const char *text);
/* The columns that it takes. */
int cli_columns(const char *text);

#endif
