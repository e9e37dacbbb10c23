/* SPDX-License-Identifier: Apache-2.0
 * import and optimize: checkpoints and graphs to models. */
#ifndef CMD_IMPORT_H
#define CMD_IMPORT_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_import(const cli_args *args);
cli_code cmd_optimize(const cli_args *args);

#endif
