/* SPDX-License-Identifier: Apache-2.0
 * The verbs, one row each: main, help, the manual page and the completions work from these rows. */
#ifndef CMD_VERBS_H
#define CMD_VERBS_H

#include "cli/options.h"

extern const cli_verbs cmd_verbs;

#endif
