/* SPDX-License-Identifier: Apache-2.0
 * run --query: all texts, best first. */
#ifndef CMD_RUN_QUERY_H
#define CMD_RUN_QUERY_H

#include "cli/input.h"
#include "cli/output.h"
#include "cmd/run_state.h"

/* Ranks all texts of the input by their similarity to --query. */
cli_code run_query(run_state *run, cli_input *input);

#endif
