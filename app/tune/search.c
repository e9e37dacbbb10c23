/* SPDX-License-Identifier: Apache-2.0
 * Forms of the whole network first. Then down through the shapes: each is cut from the one before, and distilled before the
 * next is cut from it (gradual pruning, as in ZipLM, 2302.04089). Then successive halving (Jamieson and Talwalkar,
 * 1502.07943): the better half is distilled again, longer. Last, the integers of those that are left. */
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

enum { RUNGS = 3, FEWEST_STEPS = 10, WORTHWHILE_STEPS = 80, MOST_QAT_STEPS = 1500, MOST_ARMS = 32 };
/* Of the time that is left, for each rung: the first is the way down. */
static const double rung_share[RUNGS] = {0.4, 0.6, 0.6};
/* Points above the floor that a shape may still lose: the longer it was trained, the fewer. */
static const double rung_slack[RUNGS] = {4, 1.5, 0.5};
static const double most_epochs = 40; /* of the data, in one rung */

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

/* ---- The whole network ---- */

static cli_code screen_forms(tune *t) {
    cli_code code = CLI_DONE;
    static const char *const forms[] = {"int8", "w4e2"};
    for (size_t i = 0; code == CLI_DONE && i < sizeof forms / sizeof *forms; i++)
        code = try_form(t, TUNE_DENSE, tune_find_form(forms[i]), 0, t->base, 0, 0);
    return code;
}

/* ---- Down ---- */

static const tune_trial *floats_of(const tune *t, const tune_shape *shape, int rung) {
    const tune_trial *it = tune_trial_find(t, shape, TUNE_FLOATS, rung);
    return it != NULL && it->status == TUNE_DONE ? it : NULL;
}

/* The best floats of a shape: a short distillation may do harm. NULL: there are none. */
static const tune_trial *best_floats(const tune *t, const tune_shape *shape) {
    const tune_trial *best = NULL;
    for (int rung = 0; rung <= RUNGS; rung++) {
        const tune_trial *floats = floats_of(t, shape, rung);
        if (floats != NULL && (best == NULL || tune_closer(floats, best))) best = floats;
    }
    return best;
}

/* Points above the floor that are expected and too many after this many distillations; 0: none. */
static double excess_of(const tune *t, const tune_trial *floats) {
    double slack = rung_slack[floats->rung > 0 ? floats->rung - 1 : 0];
    return fmax(tune_forecast(t, floats) - t->settings->floor - slack, 0);
}

/* 0: there is no time for as many as are worth it. */
static size_t steps_for(const tune *t, const tune_shape *shape, double seconds) {
    double steps = (seconds - t->start_seconds) / (t->step_seconds * tune_share_of_step(t, shape));
    double most = fmax(most_epochs * (double)t->split.train_rows / TUNE_BATCH, FEWEST_STEPS);
    return steps < fmin(WORTHWHILE_STEPS, most) ? 0 : (size_t)fmin(steps, most);
}

static cli_code distil(tune *t, const tune_shape *shape, int rung, double seconds) {
    const tune_trial *from = best_floats(t, shape);
    size_t steps = steps_for(t, shape, seconds);
    /* One long schedule does better than several short ones: banking77 at 28 % of the time, KL 0.091 after 1,250 steps, 0.145
     * after 347, 281 and 336. */
    if (from == NULL || steps == 0 || steps <= from->steps) return CLI_DONE;
    return try_form(t, shape, TUNE_FLOATS, rung, from->file, steps, 1.3 * seconds);
}

/* Whether another shape is faster, and closer to the float model before it is distilled. */
static bool is_beaten(const tune *t, const tune_shape *shape) {
    const tune_trial *floats = floats_of(t, shape, 0);
    for (size_t i = 1; i < tune_shape_count && floats != NULL; i++) {
        const tune_trial *other = floats_of(t, &tune_shapes[i], 0);
        if (other != NULL && tune_work_of(t, other->shape) < tune_work_of(t, shape) &&
            other->score.kl < floats->score.kl)
            return true;
    }
    return false;
}

/* One shape: cut, its speed, and the first distillation. share: of the time that is left, for that */
static cli_code go_down_to(tune *t, const tune_shape *shape, double share) {
    const tune_shape *parent = tune_find_shape(shape->from);
    const tune_trial *from = best_floats(t, parent);
    if (parent != TUNE_DENSE && (from == NULL || excess_of(t, from) > 0))
        return CLI_DONE; /* it loses too much already */
    cli_code code = try_form(t, shape, TUNE_FLOATS, 0, from != NULL ? from->file : t->base, 0, 0);
    const tune_trial *floats = floats_of(t, shape, 0);
    if (code == CLI_DONE && floats != NULL)
        code = try_form(t, shape, tune_find_form("int8"), 0, floats->file, 0, 0);
    bool worthwhile = t->can_train && !is_over(t) && !is_beaten(t, shape);
    return code == CLI_DONE && worthwhile ? distil(t, shape, 1, share * tune_left(t)) : code;
}

static cli_code go_down(tune *t) {
    cli_code code = CLI_DONE;
    for (size_t i = 1; code == CLI_DONE && i < tune_shape_count && t->can_prune && !is_over(t); i++)
        code = go_down_to(t, &tune_shapes[i], rung_share[0] / (double)(tune_shape_count - 1));
    return code;
}

/* ---- Halving ---- */

typedef struct arm {
    const tune_shape *shape;
    double excess;
    double work;
} arm;

/* What is within reach of the floor comes first, and among that the least work. */
static int by_promise(const void *a, const void *b) {
    const arm *x = a, *y = b;
    if (x->excess != y->excess) return x->excess < y->excess ? -1 : 1;
    return x->work < y->work ? -1 : x->work > y->work;
}

/* The pruned shapes, the most promising first. */
static size_t collect_arms(const tune *t, arm *arms) {
    size_t n = 0;
    for (size_t i = 1; i < tune_shape_count && n < MOST_ARMS; i++) {
        const tune_trial *floats = best_floats(t, &tune_shapes[i]);
        if (floats != NULL && !is_beaten(t, &tune_shapes[i]))
            arms[n++] = (arm){&tune_shapes[i], excess_of(t, floats), tune_work_of(t, &tune_shapes[i])};
    }
    qsort(arms, n, sizeof *arms, by_promise);
    return n;
}

/* Distils the better half of the first `alive` arms once more, and puts the most promising of it first. */
static cli_code climb(tune *t, arm *arms, size_t *alive, int rung, double seconds) {
    cli_code code = CLI_DONE;
    *alive = *alive > 1 ? *alive / 2 : *alive;
    for (size_t i = 0; code == CLI_DONE && i < *alive && !is_over(t); i++) {
        code = distil(t, arms[i].shape, rung, seconds / (double)*alive);
        arms[i].excess = excess_of(t, best_floats(t, arms[i].shape));
    }
    qsort(arms, *alive, sizeof *arms, by_promise);
    return code;
}

/* ---- Integers ---- */

/* A form of the shapes that the halving left, or of all of them and the whole network. */
typedef struct pass {
    const char *form;
    bool all;
    double share; /* of the time that is left, for training */
} pass;

static const pass passes[] = {
    {"int8", true, 0},   {"w4e2", false, 0}, {"qat4", false, 0.6}, {"w4e2", true, 0},    {"cascade", true, 0},
    {"smooth", true, 0}, {"w4", true, 0},    {"w3e2", true, 0},    {"qat2", false, 0.8},
};

/* A cascade needs texts that calibrate, a label for each text, and 8 bits that stand behind it. */
static cli_code put_stages_before(tune *t, const tune_shape *shape, int rung) {
    enum { LEAST_TEXTS = 1000 };
    const tune_trial *int8 = tune_trial_find(t, shape, tune_find_form("int8"), rung);
    if (t->task != RETORT_TASK_CLASSIFY || t->split.select_rows < LEAST_TEXTS) return CLI_DONE;
    if (int8 == NULL || int8->status != TUNE_DONE) return CLI_DONE;
    return try_form(t, shape, tune_find_form("cascade"), rung, int8->file, 0, 0);
}

static cli_code finish_form(tune *t, const tune_shape *shape, const tune_form *form, double seconds) {
    const tune_trial *floats = best_floats(t, shape);
    if (form->cascade) return put_stages_before(t, shape, floats != NULL ? floats->rung : 0);
    /* The teacher runs beside it, and its start takes time. */
    size_t steps = form->train ? steps_for(t, shape, seconds / 2.5) : 0;
    if (steps > MOST_QAT_STEPS) steps = MOST_QAT_STEPS;
    if (form->train && steps == 0) return CLI_DONE;
    return try_form(t, shape, form, floats != NULL ? floats->rung : 0,
                    floats != NULL ? floats->file : t->base, steps, form->train ? 1.5 * seconds : 0);
}

static cli_code run_pass(tune *t, const pass *p, const arm *arms, size_t count) {
    const tune_form *form = tune_find_form(p->form);
    cli_code code = CLI_DONE;
    double seconds = p->share * tune_left(t) / (double)(count > 0 ? count : 1);
    if (form->train && !t->can_train) return CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < count && !is_over(t); i++) {
        if (arms[i].excess > 0 && i > 0) continue; /* out of reach */
        code = finish_form(t, arms[i].shape, form, seconds);
    }
    return code;
}

/* arms [count + 1]: the last is the whole network; the first `alive` are what the halving left, or it alone. */
static cli_code finish(tune *t, arm *arms, size_t alive, size_t count) {
    cli_code code = CLI_DONE;
    arms[count] = (arm){.shape = TUNE_DENSE};
    for (size_t i = 0; code == CLI_DONE && i < sizeof passes / sizeof *passes && !is_over(t); i++)
        code = run_pass(t, &passes[i], arms, passes[i].all ? count + 1 : alive > 0 ? alive : 1);
    return code;
}

static bool has_waiting(const tune *t) {
    for (size_t i = 0; i < t->trial_count; i++) {
        if (t->trials[i].status == TUNE_WAITING) return true;
    }
    return false;
}

cli_code tune_search(tune *t) {
    arm arms[MOST_ARMS + 1] = {{0}};
    cli_code code = screen_forms(t);
    if (code != CLI_DONE || is_over(t)) return code;
    t->can_train = t->can_train && tune_probe(t);
    code = go_down(t);
    size_t count = collect_arms(t, arms), alive = count;
    for (int rung = 2; code == CLI_DONE && t->can_train && rung <= RUNGS && !is_over(t); rung++)
        code = climb(t, arms, &alive, rung, rung_share[rung - 1] * tune_left(t));
    if (code == CLI_DONE && !is_over(t)) code = finish(t, arms, alive, count);
    t->exhausted = code == CLI_DONE && !is_over(t) && !has_waiting(t);
    return code;
}

/* ---- What would be tried ---- */

static void plan_line(const char *what, const char *why, double seconds) {
    char time[32];
    printf("%-34s %8s  %s\n", what, tune_time(time, sizeof time, seconds), why);
}

void tune_search_plan(const tune *t) {
    double one = isfinite(t->eval_seconds) ? t->eval_seconds : 1, left = tune_left(t);
    char what[96];
    for (size_t i = 1; i < tune_form_count; i++) {
        const tune_form *form = &tune_forms[i];
        if (form->train) continue;
        snprintf(what, sizeof what, "dense-%s", form->name);
        plan_line(what, form->what, form->data ? 4 * one + 10 : 2 * one);
    }
    for (size_t i = 1; i < tune_shape_count && t->can_prune; i++) {
        snprintf(what, sizeof what, "%s%s", tune_shapes[i].name, t->can_train ? ", distilled" : "");
        plan_line(what, tune_shapes[i].what,
                  t->can_train ? rung_share[0] * left / (double)(tune_shape_count - 1) : 6 * one + 30);
    }
    if (!t->can_train) return;
    for (int rung = 1; rung < RUNGS && t->can_prune; rung++) {
        snprintf(what, sizeof what, "distillation, rung %d", rung + 1);
        plan_line(what, "the better half, longer", rung_share[rung] * left);
    }
    for (size_t i = 1; i < tune_form_count; i++) {
        if (!tune_forms[i].train) continue;
        snprintf(what, sizeof what, "SHAPE-%s", tune_forms[i].name);
        plan_line(what, tune_forms[i].what, 0.1 * left);
    }
}
