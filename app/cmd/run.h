/* SPDX-License-Identifier: Apache-2.0
 * run: the model's task on texts. */
#ifndef CMD_RUN_H
#define CMD_RUN_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_run(const cli_args *args);

#endif
