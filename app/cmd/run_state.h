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
    bool json, drawn; /* drawn: for people, on a terminal */
    size_t first;     /* number of the first text at hand, from 0 */
    bool one_by_one;  /* one of these texts has no finite answer: they shall be run each alone */
    bool *cut;        /* [batch] which of the texts at hand were cut at the model's length */
    size_t cut_count; /* of all texts */
    uint64_t cuts;    /* that the session has counted, one a text and label */
} run_state;

/* Runs n texts and prints their results, in order. */
typedef cli_code (*run_fn)(run_state *run, const retort_text *texts, size_t n);

/* The code for a call on n texts that has failed, which is printed, with the text's number where one
 * is known. */
cli_code run_fail(run_state *run, const retort_error *err, size_t n, bool reading);
/* Notes which of n texts, the batch that the session has run last, were cut. */
cli_code run_note_cuts(run_state *run, const retort_text *texts, size_t n);
/* n floats, all finite or null. */
json_t *run_json_reals(const float *values, size_t n);
/* A drawn text's heading: the text itself, cut to a line. */
void run_print_heading(const retort_text *text);

#endif
