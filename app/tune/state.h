/* SPDX-License-Identifier: Apache-2.0
 * A tuning: what was asked, what was tried, what the sealed test said. All of it is in tune.json, which is written beside
 * and renamed after each step, so that a tuning that was killed goes on where it was. */
#ifndef TUNE_STATE_H
#define TUNE_STATE_H

#include "cli/options.h"
#include "cli/output.h"
#include "tune/candidates.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TUNE_PATH = 1024, TUNE_NAME = 64, TUNE_WHY = 400, TUNE_MOST_TRIALS = 160, TUNE_MOST_CLAIMS = 32 };

typedef enum tune_goal { TUNE_FASTEST, TUNE_SMALLEST, TUNE_BOTH } tune_goal;
extern const char *const tune_goal_names[];

/* What was asked. A tuning goes on only with the same; the budget alone may grow. */
typedef struct tune_settings {
    char model[TUNE_PATH];                         /* the file or folder, found */
    const char *data, *test, *select, *texts_like; /* files; NULL: not given */
    const char *folder;                            /* of the results */
    double floor;                                  /* points */
    tune_goal goal;
    double budget; /* seconds */
    long batch, seed, threads;
    const char *isa;           /* NULL: the best */
    const char *columns[4][2]; /* option and value, for the verbs that read the data */
    size_t column_count;
} tune_settings;

/* The rows, split once. */
typedef struct tune_split {
    char train[TUNE_PATH], select[TUNE_PATH], sealed[TUNE_PATH], speed[TUNE_PATH]; /* files */
    size_t train_rows, select_rows, sealed_rows, speed_rows;
    size_t overlap; /* rows of the data that the test has, too: dropped */
    bool labelled;
    size_t classes; /* labels that the data has; 0: not labels */
} tune_split;

/* Against the float model, on the rows that select. */
typedef struct tune_score {
    double value, difference, low, high; /* of the metric; low and high: 95 % interval of the difference */
    double kl, agreement;
    size_t n;
} tune_score;

/* Beside the input, in one interleaved run. */
typedef struct tune_speed {
    double ratio;                       /* the input's median time by this one's */
    double low, high;                   /* of several such runs; NaN: one */
    double texts_per_s, ms_p50, ms_p99; /* of a batch */
    double others;                      /* share of the CPUs that other processes used; NaN: unknown */
} tune_speed;

typedef enum tune_status { TUNE_WAITING, TUNE_DONE, TUNE_FAILED, TUNE_DROPPED } tune_status;
extern const char *const tune_status_names[];

typedef struct tune_trial {
    char name[TUNE_NAME];
    const tune_shape *shape;
    const tune_form *form;
    int rung; /* distillations of the shape so far */
    tune_status status;
    char why[TUNE_WHY]; /* it failed or was dropped */
    char file[TUNE_PATH];
    uint64_t bytes;
    size_t steps; /* of training; 0: none */
    bool stopped; /* the training was ended early */
    double seconds;
    tune_score score;
    tune_speed speed;
    json_t *commands; /* arrays of words */
} tune_trial;

/* A statement about one model that the sealed test was opened for. */
typedef struct tune_claim {
    size_t trial;
    int opening;
    double value, difference, low, high, kl, agreement;
    double bound;    /* one-sided 95 % lower bound of the difference */
    double p;        /* of "it loses the floor or more" */
    double adjusted; /* by those tested before it, and by the openings */
    bool proven;
} tune_claim;

typedef struct tune {
    const tune_settings *settings;
    tune_split split;
    char input[TUNE_PATH], base[TUNE_PATH]; /* base: floats */
    uint64_t input_bytes, model_hash, data_hash;
    retort_task task;
    int64_t layers;
    const char *metric;              /* of the data; "agreement" without labels */
    double base_value;               /* on the rows that select */
    double spent, started, deadline; /* seconds; spent: by earlier runs */
    /* Measured: an evaluation, a step of training, and what comes before the first. NaN: not yet. */
    double eval_seconds, step_seconds, start_seconds, tokens_per_text;
    tune_trial trials[TUNE_MOST_TRIALS];
    size_t trial_count;
    tune_claim claims[TUNE_MOST_CLAIMS];
    size_t claim_count;
    int openings;
    double sealed_value; /* the float model's metric on the sealed rows */
    json_t *details;   /* of each model tested, by its name: what the sealed rows show (tune_details_json) */
    json_t *layers_of; /* steps of the plan: time, bytes, KL */
    json_t *machine;
    json_t *prepare;       /* commands that made the base of the input */
    int fastest, smallest; /* claims; -1: none */
    bool exhausted;        /* there is nothing left to try */
    bool can_prune, can_train;
} tune;

/* Reads DIR/tune.json if there is one: *found. CLI_USAGE if it belongs to another tuning. Errors are printed. */
cli_code tune_state_read(tune *t, bool *found);
cli_code tune_state_write(const tune *t);
void tune_state_free(tune *t);
json_t *tune_state_json(const tune *t);
/* Hash of a file's bytes; a folder's: of the names, sizes and times of what is in it. 0: it cannot be read. */
uint64_t tune_file_hash(const char *path);
uint64_t tune_file_bytes(const char *path);
/* Seconds left of the budget. */
double tune_left(const tune *t);
double tune_spent(const tune *t);
/* Joins a folder and names: "DIR/models/NAME.retort". False: too long. */
bool tune_path(char out[TUNE_PATH], const char *folder, const char *below, const char *name);

/* A number of an object; NaN: it has none of that name. */
double tune_real(const json_t *json, const char *name);
/* "metric" of an object, where it is one that counts in points; NULL: another one, or none. */
const char *tune_metric_of(const json_t *json);

#endif
