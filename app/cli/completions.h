/* SPDX-License-Identifier: Apache-2.0
 * Completion scripts for bash, zsh and fish, from the rows of the verbs. */
#ifndef CLI_COMPLETIONS_H
#define CLI_COMPLETIONS_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_completions(const cli_args *args);

#endif
