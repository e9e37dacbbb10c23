/* SPDX-License-Identifier: Apache-2.0
 * compare: several models on the same data; the first is the reference. */
#include "cmd/compare.h"
#include "bench/corpus.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "retort.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One model and its figures. */
typedef struct entry {
    const char *path;
    retort_model *model;
    retort_session *session;
    retort_info info;
    retort_eval_result result;
    double ms;
} entry;

typedef struct comparison {
    const cli_args *args;
    entry first, other;
    bench_corpus corpus;
    size_t batch;
    int width;     /* of the names */
    int decimals;  /* of the first model's metric */
    size_t unsure; /* models whose difference from the first may be 0 */
} comparison;

static void entry_close(entry *it) {
    retort_session_close(it->session);
    retort_model_free(it->model);
    *it = (entry){0};
}

static cli_code entry_open(entry *it, const cli_args *args, const char *path) {
    *it = (entry){.path = path, .info.size = sizeof it->info, .result.size = sizeof it->result};
    cli_code code = cli_open_model(&it->model, args, path, 3);
    if (code == CLI_DONE) code = cli_open_session(&it->session, args, it->model, false);
    if (code == CLI_DONE) retort_model_info(it->model, &it->info);
    return code;
}

/* The data is read with the labels of the first model: those of the others must be the same. */
static cli_code check_alike(const entry *first, const entry *it) {
    if (first->info.task != it->info.task) {
        cli_error("%s: its task is %s, but that of %s is %s", it->path, cli_task_names[it->info.task],
                  first->path, cli_task_names[first->info.task]);
        return CLI_BAD_DATA;
    }
    if (first->info.labels != it->info.labels || first->info.vocab != it->info.vocab) {
        cli_error("%s: %lld labels and %lld pieces, but %s has %lld and %lld", it->path,
                  (long long)it->info.labels, (long long)it->info.vocab, first->path,
                  (long long)first->info.labels, (long long)first->info.vocab);
        return CLI_BAD_DATA;
    }
    for (int64_t i = 0;; i++) {
        const char *wanted = retort_model_label(first->model, i), *found = retort_model_label(it->model, i);
        if (wanted == NULL || found == NULL) return CLI_DONE;
        if (strcmp(wanted, found) == 0) continue;
        cli_error("%s: label %lld is '%s', but that of %s is '%s'", it->path, (long long)i, found,
                  first->path, wanted);
        return CLI_BAD_DATA;
    }
}

static cli_code evaluate(comparison *c, entry *it) {
    retort_error err, named;
    retort_eval_options options = RETORT_EVAL_OPTIONS;
    if (it != &c->first) options.reference = c->first.session;
    options.max_length = cli_int(c->args, CLI_MAX_LENGTH, -1);
    options.progress = cli_progress;
    retort_status status = retort_eval(it->session, c->corpus.data, &options, &it->result, &err);
    cli_progress_end();
    if (status == RETORT_OK) return CLI_DONE;
    named.status = status;
    snprintf(named.text, sizeof named.text, "%.200s: %.300s", it->path, err.text);
    return cli_fail(&named, true);
}

/* The evaluation served as a warm-up. */
static cli_code measure(comparison *c, entry *it) {
    enum { PASSES = 5, SECONDS = 3 };
    double times[PASSES], start = cli_now();
    size_t n = 0;
    cli_code code = CLI_DONE;
    while (code == CLI_DONE && n < PASSES && (n == 0 || cli_now() - start < SECONDS)) {
        code = bench_corpus_pass(&c->corpus, it->session, c->batch, &times[n++]);
    }
    cli_sort(times, n);
    it->ms = cli_percentile(times, n, 50);
    return code;
}

/* A number, or a dash if there is none. */
static void print_cell(int width, const char *format, double value) {
    char text[48] = "-";
    if (isfinite(value)) snprintf(text, sizeof text, format, value);
    printf(" %*s", width, text);
}

/* A figure and its interval. */
static void print_interval(int width, const char *format, int decimals, const double values[3]) {
    char text[CLI_INTERVAL] = "-";
    if (isfinite(values[0])) cli_interval(text, format, decimals, values[0], values[1], values[2]);
    printf(" %*s", width, text);
}

enum { METRIC = 25, DIFFERENCE = 28 };

static void print_heading(const comparison *c) {
    retort_session_info engine = {.size = sizeof engine};
    retort_session_describe(c->first.session, &engine);
    printf("%s, isa %s, %d thread%s; %zu texts, batches of %zu; 95 %% intervals\n", engine.provider,
           engine.isa, engine.threads, engine.threads == 1 ? "" : "s", c->corpus.count, c->batch);
    printf("%-*s %9s %*s %*s %9s %9s %9s\n", c->width, "model", "MB", METRIC, c->first.result.metric,
           DIFFERENCE, "difference", "KL", "agreement", "ms");
}

/* Whether the data cannot tell which of the two is better. */
static bool is_unsure(const retort_eval_result *result) {
    return isfinite(result->difference_low) && result->difference_low <= 0 && result->difference_high >= 0;
}

static void print_row(comparison *c, const entry *it) {
    const retort_eval_result *result = &it->result;
    double mb = it->info.file_bytes > 0 ? (double)it->info.file_bytes * 1e-6 : NAN;
    if (it == &c->first) {
        c->decimals = cli_decimals(result->low, result->high) + 1; /* differences are paired: narrower */
        print_heading(c);
    }
    c->unsure += is_unsure(result);
    cli_put_column(stdout, c->width, it->path);
    print_cell(9, "%.1f", mb);
    print_interval(METRIC, "%.*f", c->decimals, (double[]){result->value, result->low, result->high});
    print_interval(DIFFERENCE, "%+.*f", c->decimals,
                   (double[]){result->difference, result->difference_low, result->difference_high});
    print_cell(9, "%.1e", result->kl);
    print_cell(9, "%.4f", result->agreement);
    print_cell(9, "%.1f", it->ms);
    puts("");
}

static cli_code print_entry(comparison *c, const entry *it) {
    const retort_eval_result *result = &it->result;
    bool first = it == &c->first;
    if (!cli_has(c->args, CLI_JSON)) {
        print_row(c, it);
        return cli_flush();
    }
    json_t *json = json_pack(
        "{s:o, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:f, s:I}", "model",
        cli_json_text(it->path, strlen(it->path)), "recipe", it->info.recipe, "task",
        cli_task_names[it->info.task], "file_bytes",
        it->info.file_bytes > 0 ? json_integer((json_int_t)it->info.file_bytes) : json_null(), "metric",
        result->metric, "value", cli_json_real(result->value), "low", cli_json_real(result->low), "high",
        cli_json_real(result->high), "difference", cli_json_real(first ? 0 : result->difference), "n",
        (json_int_t)result->n, "kl", cli_json_real(result->kl), "agreement", cli_json_real(result->agreement),
        "max_abs_logit_error", cli_json_real(result->max_abs_logit_error), "ms", it->ms, "batch",
        (json_int_t)c->batch);
    if (json != NULL && !first) {
        json_object_set_new(json, "difference_low", cli_json_real(result->difference_low));
        json_object_set_new(json, "difference_high", cli_json_real(result->difference_high));
    }
    if (json != NULL && result->second_metric != NULL)
        json_object_set_new(json, result->second_metric, cli_json_real(result->second_value));
    cli_code code = cli_print_json(json);
    return code == CLI_DONE ? cli_flush() : code;
}

static void print_unsure(const comparison *c) {
    size_t others = (size_t)c->args->word_count - 1;
    if (others == 1) {
        printf("%zu texts cannot tell which of the two is better.\n", c->first.result.n);
    } else {
        printf("%zu texts cannot tell whether %zu of the other %zu are better or worse than the first: their "
               "differences may be 0.\n",
               c->first.result.n, c->unsure, others);
    }
}

static cli_code add(comparison *c, entry *it) {
    cli_code code = evaluate(c, it);
    if (code == CLI_DONE) code = measure(c, it);
    return code == CLI_DONE ? print_entry(c, it) : code;
}

cli_code cmd_compare(const cli_args *args) {
    comparison c = {.args = args, .batch = (size_t)cli_int(args, CLI_BATCH, 32), .width = 5};
    for (int i = 0; i < args->word_count; i++) {
        int width = cli_columns(args->words[i]);
        if (width > c.width) c.width = width;
    }
    cli_code code = entry_open(&c.first, args, args->words[0]);
    if (code == CLI_DONE) {
        code = bench_corpus_read(&c.corpus, args, c.first.model, false, cli_int(args, CLI_MAX_LENGTH, -1),
                                 c.batch);
    }
    if (code == CLI_DONE) code = add(&c, &c.first);
    for (int i = 1; code == CLI_DONE && i < args->word_count; i++) {
        code = entry_open(&c.other, args, args->words[i]);
        if (code == CLI_DONE) code = check_alike(&c.first, &c.other);
        if (code == CLI_DONE) code = add(&c, &c.other);
        entry_close(&c.other);
    }
    if (code == CLI_DONE && c.unsure > 0 && !cli_has(args, CLI_JSON)) print_unsure(&c);
    bench_corpus_free(&c.corpus);
    entry_close(&c.first);
    return code;
}
