/* SPDX-License-Identifier: Apache-2.0
 * What the tasks of `run` share. */
#ifndef CMD_RUN_STATE_H
#define CMD_RUN_STATE_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>

struct run_state;
/* Runs n texts and prints their results to run->out, in order. */
typedef cli_code (*run_fn)(struct run_state *run, const retort_text *texts, size_t n);

typedef struct run_state {
    const cli_args *args;
    const char *name; /* of the model */
    retort_model *model;
    retort_session *session;
    retort_info info;
    size_t top;       /* labels, answers or guesses to print */
    cli_names labels; /* of zero-shot classification */
    run_fn runner;
    bool alone;         /* the runner takes the texts one at a time */
    size_t batch;       /* most texts of a run */
    const float *query; /* vector of --query, or NULL */
    retort_text asked;  /* the text of --query, where a cross-encoder scores it with each text */
    FILE *out;          /* what is printed goes there */
    bool json, drawn;   /* drawn: output for people, on a terminal */
    bool cells;         /* answers are cells for the columns that a table gets: see run_cell */
    bool refused;       /* with `cells`: the last text has no answer, and its cell says why */
    size_t first;       /* number of the first current text, from 0 */
    bool one_by_one;    /* one of these texts has failed: each has to be run alone */
    bool *cut;          /* [batch] which of the current texts were truncated */
    size_t cut_count;   /* of all texts */
    uint64_t cuts;      /* truncated texts that the session has counted, one per text and label */
} run_state;

/* Prints the error of a failed call on one text; if there are several, has each of them run alone. Returns the exit
 * code. */
cli_code run_fail(run_state *run, const retort_error *err, size_t n, bool reading);
/* With run->cells: says why a text has no answer. */
cli_code run_refuse(run_state *run, const char *why);
/* Notes which of n texts, the last batch of the session, were truncated. */
cli_code run_note_cuts(run_state *run, const retort_text *texts, size_t n);
/* With run->cells, a text's answer is RUN_WHOLE or RUN_CUT and a cell for each column; or RUN_REFUSED and the reason. A cell
 * ends with a NUL. */
enum { RUN_WHOLE = '+', RUN_CUT = '~', RUN_REFUSED = '!' };
void run_begin_cells(const run_state *run, bool cut);
void run_cell(const run_state *run, const char *text, size_t length);
void run_cell_real(const run_state *run, double value);
/* Takes the reference; NULL stands for a failed allocation. */
cli_code run_cell_json(const run_state *run, json_t *json);
/* A score, and what has it. */
typedef struct run_scored {
    float score;
    size_t index;
} run_scored;
/* For qsort. Best first; ties in the order of their indices. */
int run_compare_scored(const void *left, const void *right);
/* n floats, all finite or null. */
json_t *run_json_reals(const float *values, size_t n);
/* The heading of drawn output: the text, shortened to a line. */
void run_print_heading(const run_state *run, const retort_text *text);

#endif
