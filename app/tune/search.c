/* SPDX-License-Identifier: Apache-2.0
 * Cheap screens first: each form of the whole network, then each shape without training. Then successive halving (Jamieson
 * and Talwalkar, 1502.07943): the shapes are distilled in rungs, each of which keeps the better half and trains it
 * longer. Last, the integers of those that are left are trained. */
#include "tune/search.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "tune/judge.h"
#include "tune/live.h"
#include "tune/trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNGS = 3, BATCH = 32, FEWEST_STEPS = 10, MOST_QAT_STEPS = 1500 };
/* Of the time that is left for training, for each rung; the rest trains integers. */
static const double rung_share[RUNGS] = {0.12, 0.18, 0.25};
/* Points above the floor that a shape may still lose: the longer it was trained, the fewer. */
static const double rung_slack[RUNGS] = {4, 1.5, 0.5};
static const double most_epochs = 6; /* of the data, in one rung */

static bool is_over(const tune *t) {
    return cli_interrupted() || tune_left(t) <= 0;
}

/* Seconds of the trial that was most like this one. */
static double expected(const tune *t, const tune_form *form) {
    double seconds = isfinite(t->eval_seconds) ? 2 * t->eval_seconds : 1;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (it->form == form && it->status != TUNE_WAITING && it->steps == 0) seconds = it->seconds;
    }
    return seconds;
}

/* Whether there is time for one more of this form. The first of all is always tried. */
static bool has_time(const tune *t, const tune_form *form) {
    return !cli_interrupted() && (t->trial_count <= 1 || tune_left(t) > 1.1 * expected(t, form));
}

static cli_code try_form(tune *t, const tune_shape *shape, const tune_form *form, int rung, const char *from,
                         size_t steps, double seconds) {
    tune_trial *it = tune_trial_of(t, shape, form, rung);
    if (it == NULL) return cli_no_memory();
    if (it->status != TUNE_WAITING || !has_time(t, form)) return CLI_DONE;
    double deadline = seconds > 0 ? fmin(cli_now() + seconds, t->deadline) : t->deadline;
    /* The first one is tried whatever the budget. */
    return tune_trial_run(t, it, from, steps, t->trial_count <= 1 ? 0 : deadline);
}

/* ---- Screens ---- */

static cli_code screen_forms(tune *t) {
    cli_code code = CLI_DONE;
    for (size_t i = 1; code == CLI_DONE && i < tune_form_count; i++) {
        if (tune_forms[i].train) continue;
        code = try_form(t, TUNE_DENSE, &tune_forms[i], 0, t->base, 0, 0);
    }
    return code;
}

static const tune_trial *floats_of(tune *t, const tune_shape *shape, int rung) {
    const tune_trial *it = tune_trial_of(t, shape, TUNE_FLOATS, rung);
    return it != NULL && it->status == TUNE_DONE ? it : NULL;
}

static cli_code screen_shapes(tune *t) {
    cli_code code = CLI_DONE;
    for (size_t i = 1; code == CLI_DONE && i < tune_shape_count && t->can_prune; i++) {
        code = try_form(t, &tune_shapes[i], TUNE_FLOATS, 0, t->base, 0, 0);
        const tune_trial *floats = floats_of(t, &tune_shapes[i], 0);
        if (code == CLI_DONE && floats != NULL)
            code = try_form(t, &tune_shapes[i], tune_find_form("int8"), 0, floats->file, 0, 0);
    }
    return code;
}

/* ---- Halving ---- */

typedef struct arm {
    const tune_shape *shape;
    const tune_trial *floats; /* where it is */
    double excess;            /* points above the floor and slack that are expected; 0: none */
    double work;              /* 1 / speed of its int8 */
} arm;

static double work_of(const tune *t, const tune_shape *shape) {
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (it->shape == shape && it->speed.ratio > 0) return 1 / it->speed.ratio;
    }
    return 1;
}

/* What is within reach of the floor comes first, and among that the least work. */
static int by_promise(const void *a, const void *b) {
    const arm *x = a, *y = b;
    if (x->excess != y->excess) return x->excess < y->excess ? -1 : 1;
    return x->work < y->work ? -1 : x->work > y->work;
}

static size_t collect_arms(tune *t, arm *arms) {
    size_t n = 0;
    for (size_t i = 1; i < tune_shape_count; i++) {
        const tune_trial *floats = floats_of(t, &tune_shapes[i], 0);
        if (floats != NULL) arms[n++] = (arm){&tune_shapes[i], floats, 0, work_of(t, &tune_shapes[i])};
    }
    return n;
}

static size_t steps_for(const tune *t, double seconds) {
    double steps = (seconds - t->start_seconds) / t->step_seconds;
    double most = most_epochs * (double)t->split.train_rows / BATCH;
    double n = fmin(steps, fmax(most, FEWEST_STEPS));
    return n < FEWEST_STEPS ? 0 : (size_t)n;
}

/* Distils each arm once more; those that are left, the most promising first. */
static cli_code climb(tune *t, arm *arms, size_t *count, int rung, double seconds) {
    cli_code code = CLI_DONE;
    size_t kept = 0;
    for (size_t i = 0; code == CLI_DONE && i < *count; i++) {
        size_t steps = steps_for(t, seconds / (double)*count);
        const tune_trial *done = floats_of(t, arms[i].shape, rung);
        if (done == NULL && steps > 0)
            code = try_form(t, arms[i].shape, TUNE_FLOATS, rung, arms[i].floats->file, steps,
                            1.3 * seconds / (double)*count);
        done = floats_of(t, arms[i].shape, rung);
        if (done == NULL) continue;
        double excess = tune_forecast(t, done) - t->settings->floor - rung_slack[rung - 1];
        arms[kept++] = (arm){arms[i].shape, done, fmax(excess, 0), arms[i].work};
    }
    if (kept == 0) return code; /* no time: they stay where they are */
    qsort(arms, kept, sizeof *arms, by_promise);
    *count = rung < RUNGS ? (kept + 1) / 2 : kept;
    return code;
}

/* ---- Integers ---- */

static cli_code finish_form(tune *t, const arm *it, const tune_form *form, double seconds) {
    size_t steps = form->train ? steps_for(t, seconds / 2.5)
                               : 0; /* the teacher runs beside it, and its start takes time */
    if (steps > MOST_QAT_STEPS) steps = MOST_QAT_STEPS;
    if (form->train && steps == 0) return CLI_DONE;
    return try_form(t, it->shape, form, it->floats != NULL ? it->floats->rung : 0,
                    it->floats != NULL ? it->floats->file : t->base, steps, form->train ? 1.5 * seconds : 0);
}

static cli_code finish(tune *t, const arm *arms, size_t count) {
    cli_code code = CLI_DONE;
    size_t left = 0;
    for (size_t f = 1; code == CLI_DONE && f < tune_form_count; f++) {
        for (size_t i = 0; code == CLI_DONE && i < count && !tune_forms[f].train; i++)
            code = finish_form(t, &arms[i], &tune_forms[f], 0);
        left += tune_forms[f].train ? count : 0;
    }
    for (size_t f = tune_form_count; t->can_train && code == CLI_DONE && f-- > 1;) {
        for (size_t i = 0; code == CLI_DONE && i < count && tune_forms[f].train; i++) {
            if (is_over(t)) return code;
            code = finish_form(t, &arms[i], &tune_forms[f], tune_left(t) / (double)left--);
        }
    }
    return code;
}

static bool has_waiting(const tune *t) {
    for (size_t i = 0; i < t->trial_count; i++) {
        if (t->trials[i].status == TUNE_WAITING) return true;
    }
    return false;
}

cli_code tune_search(tune *t) {
    arm arms[32] = {{0}}; /* the first is the whole network */
    cli_code code = screen_forms(t);
    if (code == CLI_DONE && !is_over(t)) code = screen_shapes(t);
    if (code != CLI_DONE || is_over(t)) return code;
    t->can_train = t->can_train && tune_probe(t);
    size_t count = collect_arms(t, arms + 1);
    double time = tune_left(t);
    for (int rung = 1; code == CLI_DONE && t->can_train && rung <= RUNGS && count > 0 && !is_over(t); rung++)
        code = climb(t, arms + 1, &count, rung, rung_share[rung - 1] * time);
    arms[0] = (arm){.shape = TUNE_DENSE};
    if (code == CLI_DONE && !is_over(t)) code = finish(t, arms, count + 1);
    t->exhausted = code == CLI_DONE && !is_over(t) && !has_waiting(t);
    return code;
}

/* ---- What would be tried ---- */

static void plan_line(const char *what, const char *why, double seconds) {
    char time[32];
    printf("%-34s %8s  %s\n", what, tune_time(time, sizeof time, seconds), why);
}

void tune_search_plan(const tune *t) {
    double one = isfinite(t->eval_seconds) ? t->eval_seconds : 1;
    char what[96];
    for (size_t i = 1; i < tune_form_count; i++) {
        const tune_form *form = &tune_forms[i];
        if (form->train) continue;
        snprintf(what, sizeof what, "dense-%s", form->name);
        plan_line(what, form->what, form->data ? 4 * one + 10 : 2 * one);
    }
    for (size_t i = 1; i < tune_shape_count && t->can_prune; i++) {
        snprintf(what, sizeof what, "%s-float, %s-int8", tune_shapes[i].name, tune_shapes[i].name);
        plan_line(what, tune_shapes[i].what, 6 * one + 30);
    }
    if (!t->can_train) return;
    double left = tune_left(t);
    for (int rung = 0; rung < RUNGS && t->can_prune; rung++) {
        snprintf(what, sizeof what, "distillation, rung %d", rung + 1);
        plan_line(what,
                  rung == 0 ? "every shape learns the float model's answers" : "the better half, longer",
                  rung_share[rung] * left);
    }
    for (size_t i = 1; i < tune_form_count; i++) {
        if (!tune_forms[i].train) continue;
        snprintf(what, sizeof what, "SHAPE-%s", tune_forms[i].name);
        plan_line(what, tune_forms[i].what, 0.2 * left);
    }
}
