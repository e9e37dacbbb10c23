/* SPDX-License-Identifier: Apache-2.0
 * run for the tasks that answer with parts of a text. */
#ifndef CMD_RUN_SPAN_H
#define CMD_RUN_SPAN_H

#include "cli/output.h"
#include "cmd/run_state.h"
#include "retort.h"

cli_code run_tag(run_state *run, const retort_text *texts, size_t n);
cli_code run_answer(run_state *run, const retort_text *texts, size_t n);
cli_code run_fill(run_state *run, const retort_text *texts, size_t n);

#endif
