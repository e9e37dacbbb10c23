/* SPDX-License-Identifier: Apache-2.0
 * Help on the terminal, as JSON and as the manual page, all from the rows of the verbs. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/options.h"
#include "cli/output.h"

#include <stdio.h>

/* The verbs, one per line. */
void cli_print_overview(const cli_verbs *verbs, FILE *to);
void cli_print_help(const cli_verb *verb, FILE *to);
cli_code cmd_help(const cli_args *args);
cli_code cmd_version(const cli_args *args);

#endif
