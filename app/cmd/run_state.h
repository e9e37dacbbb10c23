/* SPDX-License-Identifier: Apache-2.0
 * What the tasks of `run` share. */
#ifndef CMD_RUN_STATE_H
#define CMD_RUN_STATE_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

#include <jansson.h>

typedef struct run_state {
    const cli_args *args;
    retort_model *model;
    retort_session *session;
    retort_info info;
    size_t top;       /* labels, answers or guesses to print */
    cli_names labels; /* of zero-shot classification */
    bool json, drawn; /* drawn: output for people, on a terminal */
    size_t first;     /* number of the first current text, from 0 */
    bool one_by_one;  /* one of these texts has no finite answer: each has to be run alone */
    bool *cut;        /* [batch] which of the current texts were truncated */
    size_t cut_count; /* of all texts */
    uint64_t cuts;    /* truncated texts that the session has counted, one per text and label */
} run_state;

/* Runs n texts and prints their results, in order. */
typedef cli_code (*run_fn)(run_state *run, const retort_text *texts, size_t n);

/* Prints the error of a failed call on n texts, with the number of the text if it is known; returns the
 * exit code. */
cli_code run_fail(run_state *run, const retort_error *err, size_t n, bool reading);
/* Notes which of n texts, the last batch of the session, were truncated. */
cli_code run_note_cuts(run_state *run, const retort_text *texts, size_t n);
/* n floats, all finite or null. */
json_t *run_json_reals(const float *values, size_t n);
/* The heading of drawn output: the text, shortened to a line. */
void run_print_heading(const retort_text *text);

#endif
