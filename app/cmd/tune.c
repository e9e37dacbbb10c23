/* SPDX-License-Identifier: Apache-2.0
 * tune: the fastest and the smallest model above an accuracy floor. */
#include "cmd/tune.h"
#include "bench/busy.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/shipped.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "tune/choose.h"
#include "tune/live.h"
#include "tune/page.h"
#include "tune/sealed.h"
#include "tune/search.h"
#include "tune/split.h"
#include "tune/trial.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- What was asked ---- */

/* "90s", "20m", "8h" */
static cli_code read_budget(double *seconds, const char *text) {
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};
    char *end = NULL;
    double value = strtod(text, &end);
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++) {
        if (strcmp(end, units[i].unit) != 0 || !(value > 0) || value > 1e6) continue;
        *seconds = value * units[i].seconds;
        return CLI_DONE;
    }
    cli_error("--budget: '%s' is not a time: expected a number and s, m or h, such as 20m", text);
    return CLI_USAGE;
}

static cli_code read_floor(double *points, const cli_args *args) {
    *points = cli_real(args, CLI_TUNE_FLOOR);
    if (*points > 0 && *points < 100) return CLI_DONE;
    cli_error("--floor: '%s': how many points may be lost is a number above 0 and below 100; that nothing at "
              "all is lost "
              "cannot be shown by any number of rows",
              cli_text(args, CLI_TUNE_FLOOR));
    return CLI_USAGE;
}

static tune_goal goal_of(const char *name) {
    tune_goal goal = TUNE_FASTEST;
    while (goal < TUNE_BOTH && strcmp(tune_goal_names[goal], name) != 0) goal++;
    return goal;
}

static void read_columns(tune_settings *s, const cli_args *args) {
    static const struct {
        cli_option_id id;
        const char *option;
    } rows[] = {{CLI_TEXT_COLUMN, "--text-column"},
                {CLI_TEXT_PAIR_COLUMN, "--text-pair-column"},
                {CLI_LABEL_COLUMN, "--label-column"},
                {CLI_LABEL_SEPARATOR, "--label-separator"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!cli_has(args, rows[i].id)) continue;
        s->columns[s->column_count][0] = rows[i].option;
        s->columns[s->column_count++][1] = cli_text(args, rows[i].id);
    }
}

static cli_code read_settings(tune_settings *s, const cli_args *args) {
    char *found = NULL;
    *s = (tune_settings){.data = cli_text(args, CLI_DATA),
                         .test = cli_text(args, CLI_TUNE_TEST),
                         .select = cli_text(args, CLI_TUNE_SELECT),
                         .texts_like = cli_text(args, CLI_TEXTS_LIKE),
                         .folder = cli_text(args, CLI_TUNE_OUTPUT),
                         .goal = goal_of(cli_text(args, CLI_TUNE_FOR)),
                         .batch = cli_int(args, CLI_TUNE_BATCH, 32),
                         .seed = cli_int(args, CLI_TRAIN_SEED, 0),
                         .threads = cli_int(args, CLI_THREADS, 0),
                         .isa = cli_text(args, CLI_ISA)};
    if (s->data == NULL) {
        cli_error("tune: --data is required");
        return CLI_USAGE;
    }
    read_columns(s, args);
    cli_code code = read_floor(&s->floor, args);
    if (code == CLI_DONE) code = read_budget(&s->budget, cli_text(args, CLI_TUNE_BUDGET));
    if (code == CLI_DONE) code = cli_find_model(&found, args->words[0]);
    if (code == CLI_DONE && snprintf(s->model, sizeof s->model, "%s", found) >= (int)sizeof s->model) {
        cli_error("%s: the name is too long", found);
        code = CLI_USAGE;
    }
    free(found);
    return code;
}

/* ---- The folder, and the floats in it ---- */

static cli_code make_folder(const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return CLI_DONE;
    cli_error("%s: cannot create: %s", path, strerror(errno));
    return CLI_FAILED;
}

static cli_code make_folders(const tune_settings *s) {
    static const char *const names[] = {"data", "models", "work"};
    char path[TUNE_PATH];
    cli_code code = make_folder(s->folder);
    for (size_t i = 0; code == CLI_DONE && i < sizeof names / sizeof *names; i++) {
        code = tune_path(path, s->folder, "", names[i]) ? make_folder(path) : CLI_USAGE;
    }
    return code;
}

/* `retort VERB FROM -o TO` in a process of its own; noted in t->prepare. */
static cli_code prepare(tune *t, const char *verb, const char *from, char to[TUNE_PATH], const char *name) {
    char log[TUNE_PATH];
    tune_child child = {0};
    if (!tune_path(to, t->settings->folder, "", name) || !tune_log_path(t, log)) return CLI_USAGE;
    json_t *words = tune_words(verb, from, "-o", to, TUNE_END);
    bool done = tune_child_run(&child, words, log, 0, NULL, NULL) && child.code == 0;
    if (!done) cli_error("%s: %s", from, child.last);
    json_array_append(t->prepare, words);
    json_decref(words);
    free(child.output);
    return done ? CLI_DONE : child.code > 0 ? (cli_code)child.code : CLI_FAILED;
}

static cli_code inspect(tune *t, retort_info *info, retort_model **model, const cli_args *args) {
    cli_code code = cli_open_model(model, args, t->base, 3);
    if (code != CLI_DONE) return code;
    retort_model_info(*model, info);
    t->task = info->task;
    t->layers = info->layers;
    return CLI_DONE;
}

/* The input as one file, and floats that everything starts from: the input itself, or what its integers stand for. */
static cli_code prepare_base(tune *t, const cli_args *args, retort_model **model) {
    retort_info info = {.size = sizeof info};
    t->prepare = json_array();
    cli_code code = CLI_DONE;
    if (cli_is_checkpoint(t->settings->model)) {
        code = prepare(t, "import", t->settings->model, t->input, "float.retort");
    } else {
        memcpy(t->input, t->settings->model, sizeof t->input);
    }
    memcpy(t->base, t->input, sizeof t->base);
    if (code == CLI_DONE) code = inspect(t, &info, model, args);
    if (code != CLI_DONE) return code;
    t->input_bytes = tune_file_bytes(t->input);
    if (strcmp(info.dtype, "float32") == 0) return CLI_DONE;
    retort_model_free(*model);
    *model = NULL;
    cli_say("the model has %s weights: what they stand for is the float model here", info.dtype);
    code = prepare(t, "dequantize", t->input, t->base, "float.retort");
    return code == CLI_DONE ? inspect(t, &info, model, args) : code;
}

static void note_machine(tune *t) {
    retort_machine machine = {.size = sizeof machine};
    retort_machine_describe(&machine);
    json_decref(t->machine);
    t->machine =
        json_pack("{s:o, s:s, s:s, s:i, s:o, s:o}", "cpu", cli_json_text(machine.cpu, strlen(machine.cpu)),
                  "isa", machine.isa, "features", machine.features, "threads",
                  t->settings->threads > 0 ? (int)t->settings->threads : machine.threads, "pressure",
                  cli_json_real(bench_pressure()), "load", cli_json_real(bench_load()));
}

/* Once, before anything is tried. */
static cli_code begin(tune *t, const cli_args *args) {
    retort_model *model = NULL;
    cli_code code = prepare_base(t, args, &model);
    if (code == CLI_DONE) code = tune_split_write(t, args, model);
    retort_model_free(model);
    if (code == CLI_DONE) code = tune_baseline(t);
    note_machine(t);
    return code == CLI_DONE ? tune_state_write(t) : code;
}

/* Time for the sealed rows, and for the last measurements. */
static double reserve(const tune *t) {
    enum { CLAIMS = 5 };
    double row = t->eval_seconds / (double)(t->split.select_rows > 0 ? t->split.select_rows : 1);
    double seconds = CLAIMS * row * (double)t->split.sealed_rows + 2 * t->eval_seconds;
    return fmin(seconds, 0.4 * t->settings->budget);
}

/* ---- The end ---- */

/* DIR/fastest.retort, by a link or a copy beside and a rename. */
static cli_code put_result(const tune *t, const tune_trial *it, const char *name) {
    char path[TUNE_PATH], beside[TUNE_PATH];
    char new_name[64];
    snprintf(new_name, sizeof new_name, "%s.new", name);
    if (!tune_path(path, t->settings->folder, "", name) ||
        !tune_path(beside, t->settings->folder, "", new_name))
        return CLI_USAGE;
    unlink(beside);
    if (link(it->file, beside) == 0 && rename(beside, path) == 0) return CLI_DONE;
    cli_error("%s: cannot write: %s", path, strerror(errno));
    return CLI_FAILED;
}

static cli_code put_results(const tune *t) {
    cli_code code = CLI_DONE;
    if (t->fastest >= 0) code = put_result(t, &t->trials[t->claims[t->fastest].trial], "fastest.retort");
    if (code == CLI_DONE && t->smallest >= 0)
        code = put_result(t, &t->trials[t->claims[t->smallest].trial], "smallest.retort");
    return code;
}

/* The speeds of what was chosen and of dense int8, in turns with the input. */
static void measure_chosen(tune *t) {
    tune_trial *trials[4] = {NULL};
    size_t n = 0;
    tune_trial *int8 = tune_trial_of(t, TUNE_DENSE, tune_find_form("int8"), 0);
    int chosen[2] = {t->fastest, t->smallest};
    if (int8 != NULL && tune_file_bytes(int8->file) > 0 && isfinite(int8->speed.ratio)) trials[n++] = int8;
    for (size_t i = 0; i < 2; i++) {
        tune_trial *it = chosen[i] >= 0 ? &t->trials[t->claims[chosen[i]].trial] : NULL;
        bool known = it == NULL || it == int8 || (n > 0 && trials[n - 1] == it);
        if (!known) trials[n++] = it;
    }
    if (n > 0) tune_measure_speeds(t, trials, n);
}

static void print_sentence(const tune *t, const char *name, int index) {
    char text[400];
    if (index < 0) return;
    tune_sentence(text, sizeof text, t, &t->claims[index]);
    printf("%s: %s\n", name, text);
}

static void print_misses(const tune *t) {
    const tune_claim *c = tune_nearest(t);
    if (c == NULL) {
        cli_error("nothing was made that is neither slower nor larger than '%s'", t->input);
        return;
    }
    const tune_trial *it = &t->trials[c->trial];
    cli_error("nothing is shown to lose less than %.3g points: nearest is '%s' with %+.2f points (95 %%: "
              "%+.2f to %+.2f, and "
              ">= %.2f one-sided) on %zu rows",
              t->settings->floor, it->name, 100 * c->difference, 100 * c->low, 100 * c->high, 100 * c->bound,
              t->split.sealed_rows);
}

/* Steps of a model with their times, bytes and errors, joined by their names. */
static void measure_steps(tune *t, const tune_claim *c) {
    json_t *steps = tune_step_times(t, &t->trials[c->trial]),
           *errors = tune_layer_errors(t, &t->trials[c->trial]);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        json_t *step = json_array_get(steps, i), *name = json_object_get(step, "name");
        for (size_t k = 0; k < json_array_size(errors); k++) {
            const json_t *other = json_array_get(errors, k);
            if (!json_equal(name, json_object_get(other, "name"))) continue;
            json_object_set(step, "relative_error", json_object_get(other, "relative_error"));
        }
    }
    json_decref(errors);
    json_decref(t->layers_of);
    t->layers_of = steps;
}

/* The step where the nearest miss's error grows most. */
static void say_what_blocks(const tune *t) {
    const char *worst = NULL;
    double most = 0, before = 0;
    for (size_t i = 0; i < json_array_size(t->layers_of); i++) {
        const json_t *step = json_array_get(t->layers_of, i),
                     *value = json_object_get(step, "relative_error");
        if (!json_is_number(value)) continue;
        double error = json_number_value(value);
        if (error - before > most) {
            most = error - before;
            worst = json_string_value(json_object_get(step, "name"));
        }
        before = error;
    }
    if (worst != NULL) cli_say("its error grows most in '%s', by %.2g of the squared norm", worst, most);
}

static cli_code print_result(const tune *t, const cli_args *args) {
    bool proven = t->fastest >= 0 || t->smallest >= 0;
    if (cli_has(args, CLI_JSON)) {
        cli_code code = cli_print_json(tune_state_json(t));
        if (code != CLI_DONE) return code;
    } else {
        bool same = t->fastest >= 0 && t->fastest == t->smallest;
        print_sentence(t, same ? "fastest and smallest" : "fastest", t->fastest);
        if (!same) print_sentence(t, "smallest", t->smallest);
        if (proven)
            printf("serve it: retort serve %s/%s.retort\n", t->settings->folder,
                   t->fastest >= 0 ? "fastest" : "smallest");
    }
    if (proven) return CLI_DONE;
    print_misses(t);
    return CLI_BELOW_FLOOR;
}

/* ---- The verb ---- */

static cli_code conclude(tune *t, const cli_args *args) {
    size_t before = t->claim_count;
    cli_code code = tune_sealed_open(t, args);
    cli_progress_end();
    if (code == CLI_DONE && t->claim_count > before) {
        const tune_claim *shown = t->fastest >= 0    ? &t->claims[t->fastest]
                                  : t->smallest >= 0 ? &t->claims[t->smallest]
                                                     : tune_nearest(t);
        tune_live_now("the models chosen", "their speeds in turns, and their steps");
        measure_chosen(t);
        if (shown != NULL) measure_steps(t, shown);
        cli_progress_end();
        if (t->fastest < 0 && t->smallest < 0) say_what_blocks(t);
    }
    if (code == CLI_DONE) code = put_results(t);
    if (code == CLI_DONE) code = tune_state_write(t);
    if (code == CLI_DONE) code = tune_page_write(t);
    return code == CLI_DONE ? print_result(t, args) : code;
}

static bool is_known(const cli_args *args, const char *verb) {
    return cli_find_verb(args->verbs, verb) != NULL;
}

static cli_code tune_all(tune *t, const cli_args *args) {
    bool found;
    cli_code code = make_folders(t->settings);
    if (code == CLI_DONE) code = tune_state_read(t, &found);
    if (code == CLI_DONE && !found) code = begin(t, args);
    if (code != CLI_DONE) return code;
    t->deadline = t->started + t->settings->budget - t->spent - reserve(t);
    t->can_prune = is_known(args, "prune") && t->task != RETORT_TASK_FILL;
    t->can_train =
        t->task == RETORT_TASK_CLASSIFY || t->task == RETORT_TASK_TAG || t->task == RETORT_TASK_EMBED;
    if (cli_has(args, CLI_PLAN)) {
        tune_search_plan(t);
        return CLI_DONE;
    }
    if (!t->exhausted) code = tune_search(t);
    cli_progress_end();
    if (code == CLI_DONE && cli_interrupted())
        cli_say("interrupted: testing the best so far; again: stop at once");
    else if (code == CLI_DONE && !t->exhausted)
        cli_say("the time is over, and not everything was tried: the same command with a larger --budget "
                "goes on");
    return code == CLI_DONE ? conclude(t, args) : code;
}

cli_code cmd_tune(const cli_args *args) {
    tune_settings settings;
    cli_code code = read_settings(&settings, args);
    tune *t = code == CLI_DONE ? calloc(1, sizeof *t) : NULL;
    if (code != CLI_DONE) return code;
    if (t == NULL) return cli_no_memory();
    t->settings = &settings;
    t->started = cli_now();
    t->model_hash = tune_file_hash(settings.model);
    t->data_hash = tune_file_hash(settings.data) ^ (3 * tune_file_hash(settings.test)) ^
                   (5 * tune_file_hash(settings.select));
    cli_catch_interrupt();
    code = tune_all(t, args);
    tune_state_free(t);
    free(t);
    return code;
}
