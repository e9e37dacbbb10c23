/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/state.h"
#include "cli/file.h"
#include "cli/stats.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const tune_goal_names[] = {
    [TUNE_FASTEST] = "fastest", [TUNE_SMALLEST] = "smallest", [TUNE_BOTH] = "both"};
const char *const tune_status_names[] = {
    [TUNE_WAITING] = "waiting", [TUNE_DONE] = "done", [TUNE_FAILED] = "failed", [TUNE_DROPPED] = "dropped"};

bool tune_path(char out[TUNE_PATH], const char *folder, const char *below, const char *name) {
    int n = snprintf(out, TUNE_PATH, "%s/%s%s%s", folder, below, *below != '\0' ? "/" : "", name);
    if (n > 0 && n < TUNE_PATH) return true;
    cli_error("%s: the name is too long", folder);
    return false;
}

static uint64_t fnv(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++) hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_folder(const char *path) {
    uint64_t sum = 1; /* whatever the order of the names */
    DIR *folder = opendir(path);
    char file[TUNE_PATH];
    struct stat info;
    // cppcheck-suppress readdirCalled ; no other thread has this folder
    for (struct dirent *it; folder != NULL && (it = readdir(folder)) != NULL;) {
        if (it->d_name[0] == '.' || !tune_path(file, path, "", it->d_name) || stat(file, &info) != 0)
            continue;
        uint64_t hash = fnv(0xcbf29ce484222325u, it->d_name, strlen(it->d_name));
        hash = fnv(hash, &info.st_size, sizeof info.st_size);
        sum += fnv(hash, &info.st_mtim, sizeof info.st_mtim);
    }
    if (folder != NULL) closedir(folder);
    return folder != NULL ? sum : 0;
}

uint64_t tune_file_hash(const char *path) {
    struct stat info;
    unsigned char part[1 << 14];
    if (path == NULL || stat(path, &info) != 0) return 0;
    if (S_ISDIR(info.st_mode)) return hash_folder(path);
    FILE *file = fopen(path, "re");
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t n; file != NULL && (n = fread(part, 1, sizeof part, file)) > 0;) hash = fnv(hash, part, n);
    if (file != NULL) fclose(file);
    return file != NULL ? hash : 0;
}

uint64_t tune_file_bytes(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

double tune_spent(const tune *t) {
    return t->spent + cli_now() - t->started;
}

double tune_left(const tune *t) {
    return t->deadline - cli_now();
}

/* ---- tune.json ---- */

static json_t *text_or_null(const char *text) {
    return text != NULL ? cli_json_text(text, strlen(text)) : json_null();
}

/* 64 bits do not fit into the numbers of JSON. */
static json_t *hash_json(uint64_t hash) {
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    return json_string(text);
}

static json_t *settings_json(const tune *t) {
    const tune_settings *s = t->settings;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:f, s:s, s:f, s:I, s:I, s:o, s:o}", "model",
                     text_or_null(s->model), "data", text_or_null(s->data), "test", text_or_null(s->test),
                     "select", text_or_null(s->select), "texts_like", text_or_null(s->texts_like), "floor",
                     s->floor, "for", tune_goal_names[s->goal], "budget", s->budget, "batch",
                     (json_int_t)s->batch, "seed", (json_int_t)s->seed, "model_hash",
                     hash_json(t->model_hash), "data_hash", hash_json(t->data_hash));
}

static json_t *split_json(const tune_split *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:I}", "train",
                     text_or_null(s->train), "select", text_or_null(s->select), "sealed",
                     text_or_null(s->sealed), "speed", text_or_null(s->speed), "train_rows",
                     (json_int_t)s->train_rows, "select_rows", (json_int_t)s->select_rows, "sealed_rows",
                     (json_int_t)s->sealed_rows, "speed_rows", (json_int_t)s->speed_rows, "overlap",
                     (json_int_t)s->overlap, "labelled", s->labelled, "classes", (json_int_t)s->classes);
}

static json_t *score_json(const tune_score *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "value", cli_json_real(s->value), "difference",
                     cli_json_real(s->difference), "low", cli_json_real(s->low), "high",
                     cli_json_real(s->high), "kl", cli_json_real(s->kl), "agreement",
                     cli_json_real(s->agreement), "n", (json_int_t)s->n);
}

static json_t *speed_json(const tune_speed *s) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "ratio", cli_json_real(s->ratio), "low",
                     cli_json_real(s->low), "high", cli_json_real(s->high), "texts_per_s",
                     cli_json_real(s->texts_per_s), "ms_p50", cli_json_real(s->ms_p50), "ms_p99",
                     cli_json_real(s->ms_p99), "others", cli_json_real(s->others));
}

static json_t *trial_json(const tune_trial *it) {
    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:o, s:o, s:I, s:I, s:b, s:f, s:o, s:o, s:O}", "name",
                     it->name, "shape", it->shape->name, "form", it->form->name, "rung", it->rung, "status",
                     tune_status_names[it->status], "why", text_or_null(it->why), "file",
                     text_or_null(it->file), "bytes", (json_int_t)it->bytes, "steps", (json_int_t)it->steps,
                     "stopped", it->stopped, "seconds", it->seconds, "score", score_json(&it->score), "speed",
                     speed_json(&it->speed), "commands", it->commands);
}

static json_t *claim_json(const tune *t, const tune_claim *c) {
    return json_pack("{s:s, s:I, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "trial",
                     t->trials[c->trial].name, "index", (json_int_t)c->trial, "opening", c->opening, "value",
                     cli_json_real(c->value), "difference", cli_json_real(c->difference), "low",
                     cli_json_real(c->low), "high", cli_json_real(c->high), "kl", cli_json_real(c->kl),
                     "agreement", cli_json_real(c->agreement), "bound", cli_json_real(c->bound), "p",
                     cli_json_real(c->p), "adjusted", cli_json_real(c->adjusted), "proven", c->proven);
}

json_t *tune_state_json(const tune *t) {
    json_t *trials = json_array(), *claims = json_array();
    for (size_t i = 0; i < t->trial_count; i++) json_array_append_new(trials, trial_json(&t->trials[i]));
    for (size_t i = 0; i < t->claim_count; i++) json_array_append_new(claims, claim_json(t, &t->claims[i]));
    return json_pack(
        "{s:i, s:o, s:o, s:s, s:s, s:I, s:i, s:I, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, "
        "s:i, s:i, "
        "s:b, s:o, s:o, s:o, s:o}",
        "version", 1, "settings", settings_json(t), "split", split_json(&t->split), "input", t->input, "base",
        t->base, "input_bytes", (json_int_t)t->input_bytes, "task", (int)t->task, "layers",
        (json_int_t)t->layers, "metric", text_or_null(t->metric), "base_value", cli_json_real(t->base_value),
        "spent", tune_spent(t), "eval_seconds", cli_json_real(t->eval_seconds), "step_seconds",
        cli_json_real(t->step_seconds), "start_seconds", cli_json_real(t->start_seconds), "tokens_per_text",
        cli_json_real(t->tokens_per_text), "trials", trials, "openings", t->openings, "sealed_value",
        cli_json_real(t->sealed_value), "claims", claims, "fastest", t->fastest, "smallest", t->smallest,
        "exhausted", t->exhausted, "details", t->details != NULL ? json_incref(t->details) : json_null(),
        "plan", t->layers_of != NULL ? json_incref(t->layers_of) : json_null(), "machine",
        t->machine != NULL ? json_incref(t->machine) : json_null(), "prepare",
        t->prepare != NULL ? json_incref(t->prepare) : json_null());
}

cli_code tune_state_write(const tune *t) {
    char path[TUNE_PATH], beside[TUNE_PATH];
    if (!tune_path(path, t->settings->folder, "", "tune.json") ||
        !tune_path(beside, t->settings->folder, "", "tune.json.new"))
        return CLI_USAGE;
    json_t *json = tune_state_json(t);
    char *text = json != NULL ? json_dumps(json, JSON_REAL_PRECISION(12) | JSON_INDENT(1)) : NULL;
    json_decref(json);
    if (text == NULL) return cli_no_memory();
    FILE *to = cli_create(beside);
    if (to != NULL) fprintf(to, "%s\n", text);
    free(text);
    cli_code code = to != NULL ? cli_close(to, beside, CLI_DONE) : CLI_FAILED;
    if (code == CLI_DONE && rename(beside, path) != 0) {
        cli_error("%s: cannot write", path);
        code = CLI_FAILED;
    }
    return code;
}

/* ---- Reading it again ---- */

double tune_real(const json_t *json, const char *name) {
    const json_t *value = json_object_get(json, name);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static size_t size_of(const json_t *json, const char *name) {
    json_int_t value = json_integer_value(json_object_get(json, name));
    return value > 0 ? (size_t)value : 0;
}

static void copy_text(char *out, size_t size, const json_t *json, const char *name) {
    const char *text = json_string_value(json_object_get(json, name));
    snprintf(out, size, "%s", text != NULL ? text : "");
}

static void read_split(tune_split *s, const json_t *json) {
    copy_text(s->train, sizeof s->train, json, "train");
    copy_text(s->select, sizeof s->select, json, "select");
    copy_text(s->sealed, sizeof s->sealed, json, "sealed");
    copy_text(s->speed, sizeof s->speed, json, "speed");
    s->train_rows = size_of(json, "train_rows");
    s->select_rows = size_of(json, "select_rows");
    s->sealed_rows = size_of(json, "sealed_rows");
    s->speed_rows = size_of(json, "speed_rows");
    s->overlap = size_of(json, "overlap");
    s->labelled = json_is_true(json_object_get(json, "labelled"));
    s->classes = size_of(json, "classes");
}

static tune_status status_of(const char *name) {
    tune_status status = TUNE_DROPPED;
    while (status > TUNE_WAITING && (name == NULL || strcmp(tune_status_names[status], name) != 0)) status--;
    return status;
}

static bool read_trial(tune_trial *it, const json_t *json) {
    const json_t *score = json_object_get(json, "score"), *speed = json_object_get(json, "speed");
    const char *shape = json_string_value(json_object_get(json, "shape")),
               *form = json_string_value(json_object_get(json, "form"));
    *it = (tune_trial){.shape = shape != NULL ? tune_find_shape(shape) : NULL,
                       .form = form != NULL ? tune_find_form(form) : NULL};
    if (it->shape == NULL || it->form == NULL) return false;
    copy_text(it->name, sizeof it->name, json, "name");
    copy_text(it->why, sizeof it->why, json, "why");
    copy_text(it->file, sizeof it->file, json, "file");
    it->rung = (int)json_integer_value(json_object_get(json, "rung"));
    it->status = status_of(json_string_value(json_object_get(json, "status")));
    it->bytes = size_of(json, "bytes");
    it->steps = size_of(json, "steps");
    it->stopped = json_is_true(json_object_get(json, "stopped"));
    it->seconds = tune_real(json, "seconds");
    it->score =
        (tune_score){tune_real(score, "value"), tune_real(score, "difference"), tune_real(score, "low"),
                     tune_real(score, "high"),  tune_real(score, "kl"),         tune_real(score, "agreement"),
                     size_of(score, "n")};
    it->speed =
        (tune_speed){tune_real(speed, "ratio"),       tune_real(speed, "low"),    tune_real(speed, "high"),
                     tune_real(speed, "texts_per_s"), tune_real(speed, "ms_p50"), tune_real(speed, "ms_p99"),
                     tune_real(speed, "others")};
    it->commands = json_deep_copy(json_object_get(json, "commands"));
    return true;
}

static bool read_claim(const tune *t, tune_claim *c, const json_t *json) {
    *c = (tune_claim){.trial = size_of(json, "index"),
                      .opening = (int)json_integer_value(json_object_get(json, "opening")),
                      .value = tune_real(json, "value"),
                      .difference = tune_real(json, "difference"),
                      .low = tune_real(json, "low"),
                      .high = tune_real(json, "high"),
                      .kl = tune_real(json, "kl"),
                      .agreement = tune_real(json, "agreement"),
                      .bound = tune_real(json, "bound"),
                      .p = tune_real(json, "p"),
                      .adjusted = tune_real(json, "adjusted"),
                      .proven = json_is_true(json_object_get(json, "proven"))};
    return c->trial < t->trial_count;
}

static bool read_lists(tune *t, const json_t *json) {
    const json_t *trials = json_object_get(json, "trials"), *claims = json_object_get(json, "claims");
    size_t n = json_array_size(trials), m = json_array_size(claims);
    if (n > TUNE_MOST_TRIALS || m > TUNE_MOST_CLAIMS) return false;
    for (size_t i = 0; i < n; i++, t->trial_count++) {
        if (!read_trial(&t->trials[i], json_array_get(trials, i))) return false;
    }
    for (size_t i = 0; i < m; i++, t->claim_count++) {
        if (!read_claim(t, &t->claims[i], json_array_get(claims, i))) return false;
    }
    return true;
}

static bool read_all(tune *t, const json_t *json) {
    read_split(&t->split, json_object_get(json, "split"));
    copy_text(t->input, sizeof t->input, json, "input");
    copy_text(t->base, sizeof t->base, json, "base");
    t->input_bytes = size_of(json, "input_bytes");
    t->task = (retort_task)json_integer_value(json_object_get(json, "task"));
    t->layers = json_integer_value(json_object_get(json, "layers"));
    t->base_value = tune_real(json, "base_value");
    t->spent = tune_real(json, "spent");
    t->eval_seconds = tune_real(json, "eval_seconds");
    t->step_seconds = tune_real(json, "step_seconds");
    t->start_seconds = tune_real(json, "start_seconds");
    t->tokens_per_text = tune_real(json, "tokens_per_text");
    t->openings = (int)json_integer_value(json_object_get(json, "openings"));
    t->sealed_value = tune_real(json, "sealed_value");
    t->fastest = (int)json_integer_value(json_object_get(json, "fastest"));
    t->smallest = (int)json_integer_value(json_object_get(json, "smallest"));
    t->exhausted = json_is_true(json_object_get(json, "exhausted"));
    t->details = json_deep_copy(json_object_get(json, "details"));
    t->layers_of = json_deep_copy(json_object_get(json, "plan"));
    t->machine = json_deep_copy(json_object_get(json, "machine"));
    json_decref(t->prepare);
    t->prepare = json_deep_copy(json_object_get(json, "prepare"));
    return read_lists(t, json);
}

/* What differs between what was asked then and now; NULL: nothing but the budget. */
static const char *other_setting(const tune *t, const json_t *json) {
    static const char *const names[] = {"floor", "for", "batch", "seed", "model_hash", "data_hash"};
    const json_t *then = json_object_get(json, "settings");
    json_t *now = settings_json(t);
    const char *other = NULL;
    for (size_t i = 0; other == NULL && i < sizeof names / sizeof *names; i++) {
        if (!json_equal(json_object_get(then, names[i]), json_object_get(now, names[i]))) other = names[i];
    }
    json_decref(now);
    return other;
}

const char *tune_metric_of(const json_t *json) {
    static const char *const known[] = {"accuracy", "f1", "exact_match", "spearman", "agreement"};
    const char *name = json_string_value(json_object_get(json, "metric"));
    for (size_t i = 0; name != NULL && i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i], name) == 0) return known[i];
    }
    return NULL;
}

cli_code tune_state_read(tune *t, bool *found) {
    char path[TUNE_PATH];
    json_error_t error;
    *found = false;
    t->fastest = t->smallest = -1;
    t->base_value = t->sealed_value = t->eval_seconds = t->step_seconds = t->start_seconds =
        t->tokens_per_text = (double)NAN;
    if (!tune_path(path, t->settings->folder, "", "tune.json")) return CLI_USAGE;
    if (tune_file_bytes(path) == 0) return CLI_DONE;
    json_t *json = json_load_file(path, 0, &error);
    const char *other = json != NULL ? other_setting(t, json) : NULL;
    cli_code code = CLI_DONE;
    if (json == NULL) {
        cli_error("%s:%d: %s: not the state of a tuning", path, error.line, error.text);
        code = CLI_BAD_DATA;
    } else if (other != NULL) {
        cli_error("%s is of another tuning ('%s' differs): name another folder", path, other);
        code = CLI_USAGE;
    } else if (!read_all(t, json)) {
        cli_error("%s: not the state of a tuning of this version", path);
        code = CLI_BAD_DATA;
    }
    if (code == CLI_DONE) t->metric = tune_metric_of(json);
    *found = code == CLI_DONE;
    json_decref(json);
    return code;
}

void tune_state_free(tune *t) {
    for (size_t i = 0; i < t->trial_count; i++) json_decref(t->trials[i].commands);
    json_decref(t->details);
    json_decref(t->layers_of);
    json_decref(t->machine);
    json_decref(t->prepare);
}
