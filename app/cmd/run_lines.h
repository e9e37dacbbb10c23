/* SPDX-License-Identifier: Apache-2.0
 * All texts of the input, in order: a few in the session of the run, many in streams. */
#ifndef CMD_RUN_LINES_H
#define CMD_RUN_LINES_H

#include "cli/input.h"
#include "cli/output.h"
#include "cli/streams.h"
#include "cmd/run_state.h"

/* Receives the parts of the input in order, with what run->runner has printed. */
typedef cli_code (*run_give_fn)(void *user, const cli_part *part);
cli_code run_lines(run_state *run, cli_input *input, run_give_fn give, void *user);

#endif
