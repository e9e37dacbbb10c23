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
#include <stdlib.h>
#include <string.h>

/* One model and its figures. */
typedef struct entry {
    const char *path;
    retort_model *model;
    retort_session *session;
    retort_info info;
    char recipe[128]; /* info's lives as long as the model */
    retort_eval_result result;
    double ms;
} entry;

typedef struct comparison {
    const cli_args *args;
    entry *items; /* [count] that were measured; the first is the reference, and stays open */
    size_t count;
    bench_corpus corpus;
    size_t batch;
    int width;    /* of the names */
    int decimals; /* of the first model's metric */
} comparison;

/* Its figures stay. */
static void entry_close(entry *it) {
    retort_session_close(it->session);
    retort_model_free(it->model);
    it->session = NULL;
    it->model = NULL;
}

static cli_code entry_open(entry *it, const cli_args *args, const char *path) {
    *it = (entry){.path = path, .info.size = sizeof it->info, .result.size = sizeof it->result};
    cli_code code = cli_open_model(&it->model, args, path, 3);
    if (code == CLI_DONE) code = cli_open_session(&it->session, args, it->model, false);
    if (code != CLI_DONE) return code;
    retort_model_info(it->model, &it->info);
    snprintf(it->recipe, sizeof it->recipe, "%s", it->info.recipe);
    return CLI_DONE;
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
    if (it != c->items) options.reference = c->items[0].session;
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

/* ---- Which is best ---- */

/* Of the measures that are compared: more is better, or less. NaN: unknown. */
typedef double (*measure_fn)(const entry *it);

static double value_of(const entry *it) {
    bool less = strcmp(it->result.metric, "pseudo_perplexity") == 0;
    return less ? -it->result.value : it->result.value;
}

static double small_of(const entry *it) {
    return it->info.file_bytes > 0 ? -(double)it->info.file_bytes : NAN;
}

static double fast_of(const entry *it) {
    return -it->ms;
}

/* Equal ones are all the best; nothing is, where there is nothing to compare. */
static bool is_best(const comparison *c, const entry *it, measure_fn of) {
    size_t known = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (of(&c->items[i]) > of(it)) return false;
        known += isfinite(of(&c->items[i])) ? 1 : 0;
    }
    return known > 1 && isfinite(of(it));
}

/* What the data shows of a model beside the first. */
static const char *verdict_of(const comparison *c, const entry *it) {
    const retort_eval_result *result = &it->result;
    bool less = strcmp(result->metric, "pseudo_perplexity") == 0;
    if (it == c->items) return "reference";
    if (!isfinite(result->difference_low)) return "unknown";
    if (result->difference_low <= 0 && result->difference_high >= 0) return "no difference";
    return (result->difference_low > 0) != less ? "better" : "worse";
}

/* The best metric first; of equal ones the fastest; a metric that is unknown last. */
static int by_value(const void *left, const void *right) {
    const entry *const *a = left, *const *b = right;
    double x = value_of(*a), y = value_of(*b);
    if (isfinite(x) != isfinite(y)) return isfinite(x) ? -1 : 1;
    if (x != y && isfinite(x)) return x > y ? -1 : 1;
    return ((*a)->ms > (*b)->ms) - ((*a)->ms < (*b)->ms);
}

/* ---- Output ---- */

/* A number, or a dash if there is none; marked if it is the best. */
static void print_cell(int width, const char *format, double value, const char *mark) {
    char text[48] = "-";
    if (isfinite(value)) snprintf(text, sizeof text, format, value);
    printf(" %*s%s", width, text, mark);
}

/* A figure and its interval. */
static void print_interval(int width, const char *format, int decimals, const double values[3],
                           const char *mark) {
    char text[CLI_INTERVAL] = "-";
    if (isfinite(values[0])) cli_interval(text, format, decimals, values[0], values[1], values[2]);
    printf(" %*s%s", width, text, mark);
}

enum { METRIC = 25, DIFFERENCE = 28 };

static void print_heading(const comparison *c) {
    retort_session_info engine = {.size = sizeof engine};
    retort_session_describe(c->items[0].session, &engine);
    printf("%s, isa %s, %d thread%s; %zu texts, batches of %zu; 95 %% intervals\n", engine.provider,
           engine.isa, engine.threads, engine.threads == 1 ? "" : "s", c->corpus.count, c->batch);
    printf("%-*s %9s  %*s  %*s %9s %9s %9s   verdict\n", c->width, "model", "MB", METRIC,
           c->items[0].result.metric, DIFFERENCE, "difference", "KL", "agreement", "ms");
}

static void print_row(const comparison *c, const entry *it) {
    const retort_eval_result *result = &it->result;
    double mb = it->info.file_bytes > 0 ? (double)it->info.file_bytes * 1e-6 : NAN;
    cli_put_column(stdout, c->width, it->path);
    print_cell(9, "%.1f", mb, is_best(c, it, small_of) ? "*" : " ");
    print_interval(METRIC, "%.*f", c->decimals, (double[]){result->value, result->low, result->high},
                   is_best(c, it, value_of) ? "*" : " ");
    print_interval(DIFFERENCE, "%+.*f", c->decimals,
                   (double[]){result->difference, result->difference_low, result->difference_high}, "");
    print_cell(9, "%.1e", result->kl, "");
    print_cell(9, "%.4f", result->agreement, "");
    print_cell(9, "%.1f", it->ms, is_best(c, it, fast_of) ? "*" : " ");
    printf("  %s\n", verdict_of(c, it));
}

static void print_notes(const comparison *c) {
    size_t unsure = 0;
    for (size_t i = 1; i < c->count; i++) unsure += strcmp(verdict_of(c, &c->items[i]), "no difference") == 0;
    if (c->count > 1) printf("* the best of its column; rows are sorted by %s\n", c->items[0].result.metric);
    if (unsure > 0)
        printf("no difference: none from the reference that %zu texts can show; more texts may\n",
               c->items[0].result.n);
}

static cli_code print_table(comparison *c) {
    const entry **sorted = calloc(c->count, sizeof *sorted);
    if (sorted == NULL) return cli_no_memory();
    const retort_eval_result *first = &c->items[0].result;
    c->decimals = cli_decimals(first->low, first->high) + 1; /* differences are paired: narrower */
    for (size_t i = 0; i < c->count; i++) sorted[i] = &c->items[i];
    qsort(sorted, c->count, sizeof *sorted, by_value);
    print_heading(c);
    for (size_t i = 0; i < c->count; i++) print_row(c, sorted[i]);
    print_notes(c);
    free(sorted);
    return cli_flush();
}

static json_t *best_json(const comparison *c, const entry *it) {
    static const struct {
        const char *name;
        measure_fn of;
    } measures[] = {{"file_bytes", small_of}, {"value", value_of}, {"ms", fast_of}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++) {
        if (is_best(c, it, measures[i].of)) json_array_append_new(list, json_string(measures[i].name));
    }
    return list;
}

static cli_code print_json(const comparison *c, const entry *it) {
    const retort_eval_result *result = &it->result;
    bool first = it == c->items;
    json_t *json = json_pack(
        "{s:o, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:f, s:I, s:s, s:o}", "model",
        cli_json_text(it->path, strlen(it->path)), "recipe", it->recipe, "task",
        cli_task_names[it->info.task], "file_bytes",
        it->info.file_bytes > 0 ? json_integer((json_int_t)it->info.file_bytes) : json_null(), "metric",
        result->metric, "value", cli_json_real(result->value), "low", cli_json_real(result->low), "high",
        cli_json_real(result->high), "difference", cli_json_real(first ? 0 : result->difference), "n",
        (json_int_t)result->n, "kl", cli_json_real(result->kl), "agreement", cli_json_real(result->agreement),
        "max_abs_logit_error", cli_json_real(result->max_abs_logit_error), "ms", it->ms, "batch",
        (json_int_t)c->batch, "verdict", verdict_of(c, it), "best", best_json(c, it));
    if (json != NULL && !first) {
        json_object_set_new(json, "difference_low", cli_json_real(result->difference_low));
        json_object_set_new(json, "difference_high", cli_json_real(result->difference_high));
    }
    if (json != NULL && result->second_metric != NULL)
        json_object_set_new(json, result->second_metric, cli_json_real(result->second_value));
    return cli_print_json(json);
}

/* What was measured, even if one of the models failed after others: JSON in the order of the arguments. */
static cli_code print_all(comparison *c) {
    cli_code code = CLI_DONE;
    if (c->count == 0) return CLI_DONE;
    if (!cli_has(c->args, CLI_JSON)) return print_table(c);
    for (size_t i = 0; code == CLI_DONE && i < c->count; i++) code = print_json(c, &c->items[i]);
    return code == CLI_DONE ? cli_flush() : code;
}

/* ---- The verb ---- */

static cli_code add(comparison *c, const char *path) {
    entry *it = &c->items[c->count];
    cli_code code = entry_open(it, c->args, path);
    if (code == CLI_DONE && it == c->items)
        code = bench_corpus_read(&c->corpus, c->args, it->model, false, cli_int(c->args, CLI_MAX_LENGTH, -1),
                                 c->batch);
    if (code == CLI_DONE && it != c->items) code = check_alike(c->items, it);
    if (code == CLI_DONE) code = evaluate(c, it);
    if (code == CLI_DONE) code = measure(c, it);
    c->count += code == CLI_DONE;
    if (it != c->items || code != CLI_DONE) entry_close(it);
    return code;
}

cli_code cmd_compare(const cli_args *args) {
    comparison c = {.args = args, .batch = (size_t)cli_int(args, CLI_BATCH, 32), .width = 5};
    cli_code code = CLI_DONE;
    c.items = calloc((size_t)args->word_count, sizeof *c.items);
    if (c.items == NULL) return cli_no_memory();
    for (int i = 0; i < args->word_count; i++) {
        int width = cli_columns(args->words[i]);
        if (width > c.width) c.width = width;
    }
    for (int i = 0; code == CLI_DONE && i < args->word_count; i++) code = add(&c, args->words[i]);
    cli_code printed = print_all(&c);
    bench_corpus_free(&c.corpus);
    entry_close(&c.items[0]);
    free(c.items);
    return code == CLI_DONE ? printed : code;
}
