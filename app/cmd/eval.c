/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/eval.h"
#include "bench/layer_kl.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "cmd/eval_changed.h"
#include "cmd/eval_classes.h"
#include "retort.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void print_real(const char *name, double value) {
    if (isfinite(value)) printf("%-20s %.4g\n", name, value);
}

/* With as many digits as its interval supports. */
static void print_interval(const char *name, const char *format, double value, double low, double high) {
    char text[CLI_INTERVAL];
    if (!isfinite(value)) return;
    cli_interval(text, format, cli_decimals(low, high), value, low, high);
    printf("%-20s %s\n", name, text);
}

/* Why there is no figure: a rank correlation needs an order. */
static const char *reason_of(const retort_eval_result *result) {
    if (isfinite(result->value)) return NULL;
    if (result->n < 2) return "one row has no order: it compares the order of two or more";
    return "all labels or all answers are the same number, so that they have no order";
}

static void print_text(const cli_args *args, const retort_eval_result *result) {
    print_interval(result->metric, "%.*f", result->value, result->low, result->high);
    if (!isfinite(result->value)) printf("%-20s -\n", result->metric);
    if (result->second_metric != NULL)
        printf("%-20s %.*f\n", result->second_metric, cli_decimals(result->low, result->high),
               result->second_value);
    printf("%-20s %zu\n", "texts", result->n);
    if (result->unknown > 0) printf("%-20s %llu\n", "unknown tokens", (unsigned long long)result->unknown);
    if (result->truncated > 0) printf("%-20s %llu\n", "truncated", (unsigned long long)result->truncated);
    if (!cli_has(args, CLI_REFERENCE)) return;
    print_interval("difference", "%+.*f", result->difference, result->difference_low,
                   result->difference_high);
    print_real("kl", result->kl);
    print_real("agreement", result->agreement);
    print_real("max_abs_logit_error", result->max_abs_logit_error);
}

typedef struct evaluation {
    retort_model *model, *other;
    retort_session *session, *reference;
    retort_dataset *data;
    FILE *logits;
    bool per_layer, per_class;
    layer_errors layers;
    eval_classes classes;
    eval_changed changed;
} evaluation;

static cli_code print_result(const evaluation *e, const cli_args *args, const retort_eval_result *result) {
    retort_info info = {.size = sizeof info};
    retort_model_info(e->model, &info);
    if (result->unknown > result->tokens / 10)
        cli_say("warning: the tokenizer does not know %llu of %llu tokens of the texts",
                (unsigned long long)result->unknown, (unsigned long long)result->tokens);
    const char *reason = reason_of(result);
    if (reason != NULL) cli_say("no %s: %s", result->metric, reason);
    if (!cli_has(args, CLI_JSON)) {
        printf("%-20s %s\n", "task", cli_task_names[info.task]);
        print_text(args, result);
        if (e->per_class) eval_classes_print(&e->classes);
        if (e->changed.most > 0) eval_changed_print(&e->changed, e->model, e->data);
        if (e->per_layer) layer_errors_print(&e->layers);
        return CLI_DONE;
    }
    json_t *json = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:I, s:I, s:I, s:I}", "task", cli_task_names[info.task], "metric",
        result->metric, "value", cli_json_real(result->value), "low", cli_json_real(result->low), "high",
        cli_json_real(result->high), "n", (json_int_t)result->n, "truncated", (json_int_t)result->truncated,
        "tokens", (json_int_t)result->tokens, "unknown", (json_int_t)result->unknown);
    if (reason != NULL) json_object_set_new(json, "reason", json_string(reason));
    if (result->second_metric != NULL) {
        json_object_set_new(json, result->second_metric, cli_json_real(result->second_value));
    }
    if (cli_has(args, CLI_REFERENCE)) {
        json_object_set_new(json, "difference", cli_json_real(result->difference));
        json_object_set_new(json, "difference_low", cli_json_real(result->difference_low));
        json_object_set_new(json, "difference_high", cli_json_real(result->difference_high));
        json_object_set_new(json, "kl", cli_json_real(result->kl));
        json_object_set_new(json, "agreement", cli_json_real(result->agreement));
        json_object_set_new(json, "max_abs_logit_error", cli_json_real(result->max_abs_logit_error));
    }
    if (e->per_class) eval_classes_json(&e->classes, json);
    if (e->changed.most > 0) eval_changed_json(&e->changed, e->model, e->data, json);
    if (e->per_layer) json_object_set_new(json, "layers", layer_errors_json(&e->layers));
    return cli_print_json(json);
}

/* A lower perplexity is better: its floor is a ceiling. */
static cli_code check_floor(const cli_args *args, const retort_eval_result *result) {
    double floor_value = cli_real(args, CLI_FLOOR);
    bool ceiling = strcmp(result->metric, "pseudo_perplexity") == 0;
    if (!cli_has(args, CLI_FLOOR)) return CLI_DONE;
    if (ceiling ? result->value <= floor_value : result->value >= floor_value) return CLI_DONE;
    cli_error("%s %.6g is %s the floor %.6g", result->metric, result->value, ceiling ? "above" : "below",
              floor_value);
    return CLI_BELOW_FLOOR;
}

/* One of the two models, and its session. */
static cli_code open_one(evaluation *e, const cli_args *args, const char *path, retort_model **model,
                         retort_session **session) {
    retort_info info = {.size = sizeof info};
    cli_code code = cli_open_model(model, args, path, 3);
    if (code != CLI_DONE) return code;
    bool reference = model == &e->other;
    if (!e->per_layer) {
        return reference ? cli_open_native(session, args, *model)
                         : cli_open_session(session, args, *model, false);
    }
    retort_model_info(*model, &info);
    if (info.level < 3) {
        cli_error("%s: --per-layer needs a model at level 3, this one is at level %d", path, info.level);
        return CLI_BAD_DATA;
    }
    return cli_open_tapped(session, args, *model, reference ? layer_errors_tap_reference : layer_errors_tap,
                           &e->layers);
}

static cli_code open_all(evaluation *e, const cli_args *args) {
    const char *reference = cli_text(args, CLI_REFERENCE), *logits = cli_text(args, CLI_LOGITS);
    e->per_layer = cli_has(args, CLI_PER_LAYER);
    cli_code code = open_one(e, args, args->words[0], &e->model, &e->session);
    if (code == CLI_DONE && reference != NULL) code = open_one(e, args, reference, &e->other, &e->reference);
    if (code == CLI_DONE && e->per_layer) code = layer_errors_pair(&e->layers, e->session, e->reference);
    if (code != CLI_DONE) return code;
    e->per_class = cli_has(args, CLI_PER_CLASS);
    if (e->per_class) code = eval_classes_open(&e->classes, e->model);
    if (code == CLI_DONE && cli_has(args, CLI_CHANGED))
        code = eval_changed_open(&e->changed, e->model, (size_t)cli_int(args, CLI_CHANGED, 0));
    if (code == CLI_DONE) code = cli_open_data(&e->data, args, e->model, false);
    if (code != CLI_DONE) return code;
    if (logits == NULL) return CLI_DONE;
    e->logits = cli_create(logits);
    return e->logits != NULL ? CLI_DONE : CLI_FAILED;
}

static cli_code evaluate(evaluation *e, const cli_args *args, retort_eval_result *result) {
    retort_error err;
    retort_eval_options options = RETORT_EVAL_OPTIONS;
    options.reference = e->reference;
    options.max_length = cli_int(args, CLI_MAX_LENGTH, -1);
    options.logits = e->logits != NULL ? cli_write_text : NULL;
    options.logits_user = e->logits;
    options.progress = cli_progress;
    options.classes = e->classes.counts;
    options.confusion = e->classes.confusion;
    options.class_capacity = e->classes.labels;
    if (e->changed.most > 0) {
        options.each = eval_changed_see;
        options.each_user = &e->changed;
    }
    /* The rows of all steps of a batch are kept: 0.4 MB per token for 12 layers with a hidden size of 768. */
    if (e->per_layer) options.batch_tokens = 256;
    retort_status status = retort_eval(e->session, e->data, &options, result, &err);
    cli_progress_end();
    bool full = status == RETORT_CANCELLED && e->logits != NULL && ferror(e->logits) != 0;
    if (status != RETORT_OK && !full) return cli_fail(&err, true);
    FILE *logits = e->logits;
    e->logits = NULL;
    return cli_close(logits, cli_text(args, CLI_LOGITS), CLI_DONE);
}

cli_code cmd_eval(const cli_args *args) {
    evaluation e = {0};
    retort_eval_result result = {.size = sizeof result};
    if (cli_has(args, CLI_CHANGED) && !cli_has(args, CLI_REFERENCE)) {
        cli_error("--changed needs --reference MODEL: what the answers have changed from");
        return CLI_USAGE;
    }
    cli_code code = open_all(&e, args);
    if (code == CLI_DONE) code = evaluate(&e, args, &result);
    if (code == CLI_DONE && e.per_layer) code = layer_kl(&e.layers, e.session, e.reference, e.model, e.data);
    if (code == CLI_DONE) code = print_result(&e, args, &result);
    if (code == CLI_DONE) code = check_floor(args, &result);
    if (e.logits != NULL) fclose(e.logits);
    eval_classes_free(&e.classes);
    eval_changed_free(&e.changed);
    layer_errors_free(&e.layers);
    retort_dataset_free(e.data);
    retort_session_close(e.reference);
    retort_session_close(e.session);
    retort_model_free(e.other);
    retort_model_free(e.model);
    return code;
}
