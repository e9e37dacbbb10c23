/* SPDX-License-Identifier: Apache-2.0
 * What a training says while it runs, and what its plot needs of that. */
#ifndef CMD_TRAIN_REPORT_H
#define CMD_TRAIN_REPORT_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

typedef struct train_point {
    double step, value;
} train_point;

enum { TRAIN_MOST_POINTS = 1024 };

typedef struct train_report {
    bool json;
    double started;
    const char *recipe;  /* that integers start from; NULL: floats */
    double recipe_begun; /* when; 0: not yet */
    bool recipe_done;
    /* Of the loss: every `stride`-th step, so that there are never more than TRAIN_MOST_POINTS. */
    train_point losses[TRAIN_MOST_POINTS];
    size_t loss_count, stride;
    train_point *devs; /* one per evaluation */
    size_t dev_count, dev_capacity;
    char metric[32]; /* of dev, "" before the first */
    size_t steps;    /* of the whole training; 0 before the first */
    bool failed;     /* a line of JSON could not be written */
} train_report;

void train_report_begin(train_report *report, const cli_args *args);
void train_report_free(train_report *report);
/* retort_train_options.progress: one line on a terminal, one line per epoch; with --json, objects on stdout. `user` is
 * the report. Not 0 after SIGINT. */
int train_report_progress(void *user, const retort_train_progress *progress);

#endif
