/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/trial.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "tune/judge.h"
#include "tune/live.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PRUNE_ROUNDS = 2, /* of each shape: those before it had as many */
    PRUNE_SAMPLES = 512,
    SHORT_STEPS =
        300 /* of a distillation: fewer do better at half of the usual rate, banking77 at 80 steps KL 0.176, not 0.195 */
};

/* Passes over the texts from which on they are mixed. Of banking77 at a fifth of the time, KL on new texts 0.143 after 6 passes, 0.146 after
 * 10 more, and 0.092 where half of the texts of these were mixed. */
static const double FEW_PASSES = 3;

/* ---- Commands ---- */

json_t *tune_words(const char *first, ...) {
    json_t *words = json_array();
    va_list rest;
    va_start(rest, first);
    for (const char *word = first; word != NULL; word = va_arg(rest, const char *)) {
        json_array_append_new(words, cli_json_text(word, strlen(word)));
    }
    va_end(rest);
    return words;
}

static void add_word(json_t *words, const char *word) {
    json_array_append_new(words, cli_json_text(word, strlen(word)));
}

static void add_number(json_t *words, const char *option, long number) {
    char text[24];
    snprintf(text, sizeof text, "%ld", number);
    add_word(words, option);
    add_word(words, text);
}

/* --data with its columns; `labels`: those of the labels, too. */
static void add_data(json_t *words, const tune *t, const char *file, bool labels) {
    const tune_settings *s = t->settings;
    add_word(words, "--data");
    add_word(words, file);
    for (size_t i = 0; i < s->column_count; i++) {
        if (!labels && strncmp(s->columns[i][0], "--text", 6) != 0) continue;
        add_word(words, s->columns[i][0]);
        add_word(words, s->columns[i][1]);
    }
}

static void add_engine(json_t *words, const tune *t) {
    if (t->settings->threads > 0) add_number(words, "--threads", t->settings->threads);
    if (t->settings->isa == NULL) return;
    add_word(words, "--isa");
    add_word(words, t->settings->isa);
}

static json_t *prune_command(const tune *t, const tune_trial *it, const char *from) {
    char share[16];
    const tune_shape *parent = tune_find_shape(it->shape->from);
    json_t *words = tune_words("prune", from, TUNE_END);
    add_data(words, t, t->split.train, false);
    if (it->shape->layers > 0) {
        long n = (long)((double)(t->layers * it->shape->layers) / 100 + 0.5);
        add_number(words, "--layers", n > 0 ? n : 1);
    }
    if (it->shape->time > 0) {
        snprintf(share, sizeof share, "%.0f%%",
                 100.0 * it->shape->time / (parent->time > 0 ? parent->time : 100));
        add_word(words, "--time");
        add_word(words, share);
        add_number(words, "--rounds", PRUNE_ROUNDS);
        add_number(words, "--samples", PRUNE_SAMPLES);
    }
    add_number(words, "--seed", t->settings->seed);
    if (t->settings->threads > 0) add_number(words, "--threads", t->settings->threads);
    return words;
}

/* Products in bf16 take 0.6 of the time where the CPU is fast at them, and distilled models are as good. */
static bool has_bf16(const tune *t) {
    const char *features = json_string_value(json_object_get(t->machine, "features"));
    if (features == NULL || t->settings->isa != NULL) return false;
    return strstr(features, "amx_bf16") != NULL || strstr(features, "fast_bf16") != NULL;
}

/* Floats are taught by 8 bits where they answer alike: a fourth of the time. */
static const tune_trial *int8_teacher(const tune *t, const tune_trial *it) {
    static const double alike = 0.995;
    const tune_trial *int8 = tune_trial_find(t, TUNE_DENSE, tune_find_form("int8"), 0);
    bool fits = it->form == TUNE_FLOATS && int8 != NULL && int8->status == TUNE_DONE;
    return fits && int8->score.agreement >= alike ? int8 : NULL;
}

static json_t *train_command(const tune *t, const tune_trial *it, const char *from, size_t steps) {
    const tune_trial *teacher = int8_teacher(t, it);
    json_t *words =
        tune_words("train", from, "--teacher", teacher != NULL ? teacher->file : t->base, TUNE_END);
    add_data(words, t, t->split.train, true);
    if (it->form->train) {
        add_number(words, "--bits", it->form->bits);
        add_number(words, "--embeddings", it->form->embeddings);
    } else if (has_bf16(t)) {
        add_word(words, "--dtype");
        add_word(words, "bf16");
    }
    if (!it->form->train && steps < SHORT_STEPS) {
        add_word(words, "--rate");
        add_word(words, "1e-4");
    }
    if (!it->form->train && (double)steps * TUNE_BATCH > FEW_PASSES * (double)t->split.train_rows) {
        add_word(words, "--mix");
        add_word(words, "0.5");
    }
    add_number(words, "--steps", (long)steps);
    add_number(words, "--seed", t->settings->seed);
    add_engine(words, t);
    return words;
}

static json_t *quantize_command(const tune *t, const tune_trial *it, const char *from) {
    json_t *words = tune_words("quantize", from, "--recipe", it->form->recipe, TUNE_END);
    if (it->form->bits > 0) add_number(words, "--bits", it->form->bits);
    if (it->form->embeddings > 0) add_number(words, "--embeddings", it->form->embeddings);
    if (it->form->data) {
        add_data(words, t, t->split.train, false);
        add_number(words, "--seed", t->settings->seed);
    }
    return words;
}

/* Before a pruned shape, a linear stage; before the whole network, also the cheapest pruned one. The texts that calibrate are
 * those that select: nothing was trained on them. Half of the floor is the cascade's, the other half its full model's. */
static json_t *cascade_command(const tune *t, const tune_trial *it, const char *from) {
    char epsilon[24];
    const tune_trial *stage = it->shape == TUNE_DENSE ? tune_cheapest_int8(t) : NULL;
    json_t *words = tune_words("cascade", from, "--linear", "--linear-data", t->split.train, TUNE_END);
    if (stage != NULL) {
        add_word(words, "--stage");
        add_word(words, stage->file);
    }
    add_data(words, t, t->split.select, false);
    snprintf(epsilon, sizeof epsilon, "%g%%", t->settings->floor / 2);
    add_word(words, "--epsilon");
    add_word(words, epsilon);
    add_number(words, "--seed", t->settings->seed);
    add_engine(words, t);
    return words;
}

/* What makes the trial's file. */
static json_t *command_of(const tune *t, const tune_trial *it, const char *from, size_t steps) {
    json_t *words = NULL;
    if (it->form == TUNE_FLOATS && it->rung == 0) {
        words = prune_command(t, it, from);
    } else if (it->form == TUNE_FLOATS || it->form->train) {
        words = train_command(t, it, from, steps);
    } else if (it->form->cascade) {
        words = cascade_command(t, it, from);
    } else {
        words = quantize_command(t, it, from);
    }
    add_word(words, "-o");
    add_word(words, it->file);
    return words;
}

/* ---- Running them ---- */

bool tune_log_path(const tune *t, char out[TUNE_PATH]) {
    return tune_path(out, t->settings->folder, "", "tune.log");
}

/* False: the trial cannot go on. What happened is noted, unless it was the user or the clock: then it waits. */
static bool run_command(tune *t, tune_trial *it, const json_t *words, double deadline, tune_child *child) {
    char log[TUNE_PATH];
    if (!tune_log_path(t, log) || !tune_child_run(child, words, log, deadline, tune_live_tick, t))
        return false;
    if (child->code == 0) return true;
    if (cli_interrupted() || child->late) return false;
    it->status = TUNE_FAILED;
    if (child->signal != 0)
        snprintf(it->why, sizeof it->why, "'retort %s' was ended by signal %d",
                 json_string_value(json_array_get(words, 0)), child->signal);
    else
        snprintf(it->why, sizeof it->why, "'retort %s' exited with %d: %s",
                 json_string_value(json_array_get(words, 0)), child->code, child->last);
    return false;
}

double tune_work_of(const tune *t, const tune_shape *shape) {
    const tune_form *int8 = tune_find_form("int8");
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (it->shape == shape && it->form == int8 && it->speed.ratio > 0) return 1 / it->speed.ratio;
    }
    return 1;
}

const tune_trial *tune_cheapest_int8(const tune *t) {
    const tune_form *int8 = tune_find_form("int8");
    const tune_trial *best = NULL;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        bool fits = it->form == int8 && it->shape != TUNE_DENSE && it->rung > 0 && it->status == TUNE_DONE;
        if (fits && (best == NULL || it->speed.ratio > best->speed.ratio)) best = it;
    }
    return best;
}

double tune_share_of_step(const tune *t, const tune_shape *shape) {
    static const double least = 0.3; /* word table, loss, optimizer */
    double share = tune_work_of(t, shape) / tune_work_of(t, TUNE_DENSE);
    return shape == TUNE_DENSE ? 1 : fmin(fmax(share, least), 1);
}

/* What the steps of a distillation took says more than the probe did. */
static void note_step_time(tune *t, const tune_trial *it, const json_t *trained) {
    double rate = tune_real(trained, "tokens_per_second");
    if (rate > 0) t->step_seconds = TUNE_BATCH * t->tokens_per_text / rate / tune_share_of_step(t, it->shape);
}

/* What a training that was stopped would go on from: its trial does not. */
static void drop_checkpoint(const tune_trial *it) {
    char path[TUNE_PATH + 16];
    snprintf(path, sizeof path, "%s.checkpoint", it->file);
    unlink(path);
}

static bool make(tune *t, tune_trial *it, const char *from, size_t steps, double deadline) {
    tune_child child = {0};
    json_t *words = command_of(t, it, from, steps), *command = json_deep_copy(words);
    it->steps = it->form->train || (it->form == TUNE_FLOATS && it->rung > 0) ? steps : 0;
    if (it->steps > 0) add_word(words, "--json"); /* the user needs it not */
    bool made = run_command(t, it, words, deadline, &child);
    if (made && it->steps > 0) {
        json_t *done = tune_child_json(&child);
        it->stopped = json_is_true(json_object_get(done, "stopped"));
        if (json_is_integer(json_object_get(done, "steps")))
            it->steps = (size_t)json_integer_value(json_object_get(done, "steps"));
        if (!it->form->train) note_step_time(t, it, done);
        json_decref(done);
    }
    if (made && it->stopped) drop_checkpoint(it);
    if (made) json_array_append(it->commands, command);
    json_decref(command);
    json_decref(words);
    free(child.output);
    it->bytes = tune_file_bytes(it->file);
    return made;
}

static bool evaluate(tune *t, tune_trial *it, double deadline) {
    tune_child child = {0};
    json_t *words = tune_words("eval", it->file, "--reference", t->base, "--json", TUNE_END);
    add_data(words, t, t->split.select, true);
    add_engine(words, t);
    bool done = run_command(t, it, words, deadline, &child);
    json_t *json = done ? tune_child_json(&child) : NULL;
    if (done && json != NULL) {
        it->score = (tune_score){tune_real(json, "value"),
                                 tune_real(json, "difference"),
                                 tune_real(json, "difference_low"),
                                 tune_real(json, "difference_high"),
                                 tune_real(json, "kl"),
                                 tune_real(json, "agreement"),
                                 (size_t)json_integer_value(json_object_get(json, "n"))};
    }
    json_decref(json);
    json_decref(words);
    free(child.output);
    return done;
}

/* The lines of `retort bench INPUT MODEL… --json`, one per model. */
static bool read_speeds(const tune_child *child, tune_speed *out, size_t count) {
    const char *at = child->output;
    double first = (double)NAN;
    for (size_t i = 0; i <= count; i++) {
        json_t *json = at != NULL ? json_loads(at, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
        double median = tune_real(json, "ms_p50");
        if (i == 0) first = median;
        if (i > 0)
            out[i - 1] = (tune_speed){.ratio = first / median,
                                      .low = (double)NAN,
                                      .high = (double)NAN,
                                      .texts_per_s = tune_real(json, "texts_per_s"),
                                      .ms_p50 = median,
                                      .ms_p99 = tune_real(json, "ms_p99"),
                                      .others = tune_real(json, "others")};
        json_decref(json);
        if (!isfinite(median)) return false;
        at = strchr(at, '\n');
        if (at != NULL) at++;
    }
    return true;
}

static json_t *speed_command(const tune *t, tune_trial *const *trials, size_t count) {
    json_t *words = tune_words("bench", t->input, TUNE_END);
    for (size_t i = 0; i < count; i++) add_word(words, trials[i]->file);
    add_data(words, t, t->split.speed, false);
    add_number(words, "--batch", t->settings->batch);
    add_word(words, "--seconds");
    add_word(words, "0.3");
    add_engine(words, t);
    add_word(words, "--json");
    return words;
}

enum { MOST_ROUNDS = 3 };

/* The speed of each trial, once. */
static bool measure_round(tune *t, tune_trial *const *trials, size_t count, double deadline,
                          tune_speed *speeds) {
    tune_child child = {0};
    tune_trial failure = {.name = "speed"};
    json_t *words = speed_command(t, trials, count);
    bool done = run_command(t, count == 1 ? trials[0] : &failure, words, deadline, &child) &&
                read_speeds(&child, speeds, count);
    json_decref(words);
    free(child.output);
    return done;
}

/* Medians over the rounds; the rest is that of the last one. */
static void keep_speeds(tune_trial *it, const tune_speed *speeds, size_t stride, int rounds) {
    double ratios[MOST_ROUNDS];
    for (int r = 0; r < rounds; r++) ratios[r] = speeds[(size_t)r * stride].ratio;
    cli_sort(ratios, (size_t)rounds);
    it->speed = speeds[(size_t)(rounds - 1) * stride];
    it->speed.ratio = ratios[rounds / 2];
    if (rounds == 1) return;
    it->speed.low = ratios[0];
    it->speed.high = ratios[rounds - 1];
}

bool tune_measure_speeds(tune *t, tune_trial *const *trials, size_t count) {
    enum { MOST_MODELS = 8 };
    tune_speed speeds[MOST_ROUNDS * MOST_MODELS];
    bool done = count <= MOST_MODELS;
    for (size_t r = 0; done && r < MOST_ROUNDS; r++)
        done = measure_round(t, trials, count, 0, &speeds[r * count]);
    for (size_t i = 0; done && i < count; i++) keep_speeds(trials[i], &speeds[i], count, MOST_ROUNDS);
    return done;
}

/* The first round says how many there are. */
static bool measure_speed(tune *t, tune_trial *it, double deadline) {
    tune_speed speeds[MOST_ROUNDS];
    int rounds = 1;
    for (int r = 0; r < rounds; r++) {
        if (!measure_round(t, &it, 1, deadline, &speeds[r])) return false;
        if (r == 0 && tune_speed_misleads(&speeds[0])) rounds = MOST_ROUNDS;
    }
    keep_speeds(it, speeds, 1, rounds);
    return true;
}

/* ---- Where the error and the time are ---- */

static json_t *member_of(tune *t, json_t *words, const char *name) {
    tune_child child = {0};
    tune_trial failure = {.name = "layers"};
    bool done = run_command(t, &failure, words, 0, &child);
    json_t *json = done ? tune_child_json(&child) : NULL,
           *member = json_deep_copy(json_object_get(json, name));
    json_decref(json);
    json_decref(words);
    free(child.output);
    return member;
}

json_t *tune_layer_errors(tune *t, const tune_trial *it) {
    json_t *words = tune_words("eval", it->file, "--reference", t->base, "--per-layer", "--json", TUNE_END);
    add_data(words, t, t->split.speed, true);
    add_engine(words, t);
    return member_of(t, words, "layers");
}

json_t *tune_step_times(tune *t, const tune_trial *it) {
    json_t *words = tune_words("bench", it->file, "--profile", "--seconds", "0.3", "--json", TUNE_END);
    add_data(words, t, t->split.speed, false);
    add_number(words, "--batch", t->settings->batch);
    add_engine(words, t);
    return member_of(t, words, "steps");
}

/* ---- A trial ---- */

const tune_trial *tune_trial_find(const tune *t, const tune_shape *shape, const tune_form *form, int rung) {
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (it->shape == shape && it->form == form && it->rung == rung) return it;
    }
    return NULL;
}

tune_trial *tune_trial_of(tune *t, const tune_shape *shape, const tune_form *form, int rung) {
    char rungs[32] = "";
    const tune_trial *known = tune_trial_find(t, shape, form, rung);
    if (known != NULL) return &t->trials[known - t->trials];
    if (t->trial_count == TUNE_MOST_TRIALS) return NULL;
    tune_trial *it = &t->trials[t->trial_count];
    double unknown = (double)NAN;
    *it = (tune_trial){.shape = shape, .form = form, .rung = rung, .commands = json_array()};
    it->score = (tune_score){unknown, unknown, unknown, unknown, unknown, unknown, 0};
    it->speed = (tune_speed){unknown, unknown, unknown, unknown, unknown, unknown, unknown};
    if (rung > 0) snprintf(rungs, sizeof rungs, "-distilled%d", rung);
    char file[TUNE_NAME + 8];
    snprintf(it->name, sizeof it->name, "%s%s-%s", shape->name, rungs, form->name);
    snprintf(file, sizeof file, "%s.retort", it->name);
    if (it->commands == NULL ||
        !tune_path(it->file, t->settings->folder, form == TUNE_FLOATS ? "work" : "models", file))
        return NULL;
    t->trial_count++;
    return it;
}

static bool make_and_measure(tune *t, tune_trial *it, const char *from, size_t steps, double deadline) {
    /* Measuring what was made may end a little later than making it. */
    double after = deadline > 0 ? deadline + 2 * (isfinite(t->eval_seconds) ? t->eval_seconds : 1) + 10 : 0;
    if (!make(t, it, from, steps, deadline)) return false;
    if (!evaluate(t, it, after)) return false;
    if (it->form == TUNE_FLOATS) return true;
    return measure_speed(t, it, after);
}

/* Those that are not there yet. */
static void add_commands(json_t *to, const json_t *more) {
    for (size_t i = 0; i < json_array_size(more); i++) {
        json_t *command = json_array_get(more, i);
        bool known = false;
        for (size_t k = 0; k < json_array_size(to); k++)
            known |= json_equal(json_array_get(to, k), command) != 0;
        if (!known) json_array_append(to, command);
    }
}

/* The commands that made what a trial starts from and learns from come before its own. */
static void inherit(const tune *t, tune_trial *it, const char *from) {
    const tune_trial *teacher = it->form == TUNE_FLOATS && it->rung > 0 ? int8_teacher(t, it) : NULL;
    if (it->form->cascade && it->shape == TUNE_DENSE) teacher = tune_cheapest_int8(t);
    json_array_clear(it->commands);
    if (t->prepare != NULL) add_commands(it->commands, t->prepare);
    if (teacher != NULL) add_commands(it->commands, teacher->commands);
    for (size_t i = 0; i < t->trial_count; i++) {
        if (&t->trials[i] != it && strcmp(t->trials[i].file, from) == 0)
            add_commands(it->commands, t->trials[i].commands);
    }
}

cli_code tune_trial_run(tune *t, tune_trial *it, const char *from, size_t steps, double deadline) {
    if (it->status != TUNE_WAITING) return CLI_DONE;
    double start = cli_now();
    inherit(t, it, from);
    if (it->steps > 0 && !it->stopped) steps = it->steps; /* begun by an earlier run: to the same bytes */
    tune_live_begin(it);
    if (make_and_measure(t, it, from, steps, deadline)) tune_judge(t, it);
    it->seconds = cli_now() - start;
    if (it->status != TUNE_WAITING) tune_live_end(t, it);
    return tune_state_write(t);
}

/* ---- What the floats do ---- */

cli_code tune_baseline(tune *t) {
    tune_trial nothing = {.name = "float"};
    tune_child child = {0};
    if (isfinite(t->base_value)) return CLI_DONE;
    json_t *words = tune_words("eval", t->base, "--reference", t->base, "--json", TUNE_END);
    add_data(words, t, t->split.select, true);
    add_engine(words, t);
    tune_live_begin(&nothing);
    bool done = run_command(t, &nothing, words, 0, &child);
    json_t *json = done ? tune_child_json(&child) : NULL;
    json_decref(words);
    free(child.output);
    t->metric = tune_metric_of(json);
    t->base_value = tune_real(json, "value");
    t->eval_seconds = child.seconds;
    t->tokens_per_text = tune_real(json, "tokens") / tune_real(json, "n");
    const char *name = json_string_value(json_object_get(json, "metric"));
    if (done && t->metric == NULL)
        cli_error("tune needs a metric in points: this model and this data have %s",
                  name != NULL ? name : "none");
    else if (!done && !cli_interrupted())
        cli_error("the float model cannot be evaluated: %s", child.last);
    json_decref(json);
    return done && t->metric != NULL ? CLI_DONE : cli_interrupted() ? CLI_FAILED : CLI_BAD_DATA;
}

bool tune_probe(tune *t) {
    enum { STEPS = 4 };
    tune_trial nothing = {.name = "the rate of training"};
    tune_child child = {0};
    char file[TUNE_PATH];
    if (isfinite(t->step_seconds)) return true;
    if (!tune_path(file, t->settings->folder, "work", "probe.retort")) return false;
    nothing.form = TUNE_FLOATS;
    json_t *words = train_command(t, &nothing, t->base, STEPS);
    add_word(words, "--json");
    add_word(words, "-o");
    add_word(words, file);
    tune_live_begin(&nothing);
    bool done = run_command(t, &nothing, words, t->deadline, &child);
    json_t *json = done ? tune_child_json(&child) : NULL;
    double rate = tune_real(json, "tokens_per_second"), seconds = tune_real(json, "seconds");
    json_decref(json);
    json_decref(words);
    free(child.output);
    unlink(file);
    if (!done || !(rate > 0) || !isfinite(seconds)) {
        if (nothing.status == TUNE_FAILED) cli_say("nothing is trained: %s", nothing.why);
        return false;
    }
    t->step_seconds = TUNE_BATCH * t->tokens_per_text / rate;
    t->start_seconds = fmax(seconds - STEPS * t->step_seconds, 0);
    return true;
}
