/* SPDX-License-Identifier: Apache-2.0
 * One trial: the commands that make a model, and what is measured of it. Each command is a process of its own. */
#ifndef TUNE_TRIAL_H
#define TUNE_TRIAL_H

#include "tune/child.h"
#include "tune/state.h"

enum { TUNE_BATCH = 32 }; /* texts of a training step */
/* The trial of a form of a shape after `rung` distillations; NULL: there is none. */
const tune_trial *tune_trial_find(const tune *t, const tune_shape *shape, const tune_form *form, int rung);
/* The trial of a form of a shape after `rung` distillations; made if there is none. NULL: too many, or out of memory. */
tune_trial *tune_trial_of(tune *t, const tune_shape *shape, const tune_form *form, int rung);
/* Makes the model from the file `from` and measures it, unless that is done. `steps`: of training; `deadline`: when it has
 * to end. What fails is noted in the trial. The code is that of writing tune.json. */
cli_code tune_trial_run(tune *t, tune_trial *it, const char *from, size_t steps, double deadline);
/* Evaluates the floats on the rows that select: t->metric, t->base_value, t->eval_seconds. Its errors are the data's. */
cli_code tune_baseline(tune *t);
/* Trains a few steps: t->step_seconds, t->start_seconds. False: this model or data cannot be trained. */
bool tune_probe(tune *t);
/* 1 / speed of a shape's int8, 1 if it has none. */
double tune_work_of(const tune *t, const tune_shape *shape);
/* The fastest pruned int8 that was distilled; NULL: none. */
const tune_trial *tune_cheapest_int8(const tune *t);
/* Of the time of a training step of the whole network. */
double tune_share_of_step(const tune *t, const tune_shape *shape);
/* All of them and the input take turns, three times: the median ratio of each, with the lowest and the highest. */
bool tune_measure_speeds(tune *t, tune_trial *const *trials, size_t count);
/* The error of each step against the float model's, by `eval --per-layer`; NULL: it cannot be had. */
json_t *tune_layer_errors(tune *t, const tune_trial *it);
/* Its steps with their times, by `bench --profile`; NULL likewise. */
json_t *tune_step_times(tune *t, const tune_trial *it);
/* Files of the tuning that children write to. */
bool tune_log_path(const tune *t, char out[TUNE_PATH]);
/* A command of this program as an array of words, ended by TUNE_END. */
#define TUNE_END ((const char *)NULL)
json_t *tune_words(const char *first, ...);

#endif
