/* SPDX-License-Identifier: Apache-2.0
 * run --input: the rows of a table with the answers as additional columns. */
#ifndef CMD_RUN_TABLE_H
#define CMD_RUN_TABLE_H

#include "cli/input.h"
#include "cmd/run_state.h"

/* Before the model is opened: whether the names and options fit together. Errors are printed. */
cli_code run_table_check(const cli_args *args, int words);
/* `run` is ready but for input.rows. */
cli_code run_table(run_state *run);

#endif
