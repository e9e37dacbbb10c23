/* SPDX-License-Identifier: Apache-2.0
 * run for the tasks with one row per text: labels and vectors. */
#ifndef CMD_RUN_TEXT_H
#define CMD_RUN_TEXT_H

#include "cli/output.h"
#include "cmd/run_state.h"
#include "retort.h"

cli_code run_classify(run_state *run, const retort_text *texts, size_t n);
cli_code run_zero_shot(run_state *run, const retort_text *texts, size_t n);
cli_code run_embed(run_state *run, const retort_text *texts, size_t n);
/* vectors: [n, size of a vector] */
cli_code run_vectors(run_state *run, const retort_text *texts, size_t n, float *vectors);

#endif
