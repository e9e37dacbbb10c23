/* SPDX-License-Identifier: Apache-2.0
 * explain: the graph, or the plan with the time of each step. */
#ifndef CMD_EXPLAIN_H
#define CMD_EXPLAIN_H

#include "cli/options.h"
#include "cli/output.h"

cli_code cmd_explain(const cli_args *args);

#endif
