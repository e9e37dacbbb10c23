/* SPDX-License-Identifier: Apache-2.0
 * What a run measured: one line of a table, or JSON. */
#include "load/report.h"
#include "cli/text.h"
#include "load/histogram.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double percentiles[] = {50, 90, 99, 99.9};
static const char *const percentile_names[] = {"p50", "p90", "p99", "p99.9"};
enum { PERCENTILES = 4 };

/* ---- Figures ---- */

static uint64_t count_statuses(const load_result *result, int from, int to) {
    uint64_t count = 0;
    for (int status = from; status < to; status++) count += result->statuses[status];
    return count;
}

/* Neither answered nor refused. */
static uint64_t count_errors(const load_result *result) {
    return count_statuses(result, 300, 600) - result->refused + load_lost(result);
}

/* ---- JSON ---- */

static json_t *histogram_json(const load_histogram *h) {
    json_t *json = json_object();
    for (int i = 0; i < PERCENTILES; i++) {
        json_object_set_new(json, percentile_names[i], cli_json_real(load_histogram_ms(h, percentiles[i])));
    }
    json_object_set_new(json, "max", cli_json_real(load_histogram_ms(h, 100)));
    json_object_set_new(json, "mean", cli_json_real(h->count > 0 ? h->sum / (double)h->count / 1e6 : NAN));
    return json;
}

static json_t *statuses_json(const load_result *result) {
    json_t *json = json_object();
    char name[8];
    for (int status = 100; status < 600; status++) {
        if (result->statuses[status] == 0) continue;
        snprintf(name, sizeof name, "%d", status);
        json_object_set_new(json, name, json_integer((json_int_t)result->statuses[status]));
    }
    return json;
}

static json_t *losses_json(const load_result *result) {
    json_t *json = json_object();
    for (int i = 0; i < LOAD_LOSS_COUNT; i++) {
        json_object_set_new(json, load_losses[i].name, json_integer((json_int_t)result->losses[i]));
    }
    return json;
}

static json_t *reasons_json(const load_result *result) {
    json_t *json = json_array();
    for (size_t i = 0; i < LOAD_REASONS && result->reasons[i].count > 0; i++) {
        const load_reason *reason = &result->reasons[i];
        json_array_append_new(json, json_pack("{s:i, s:o, s:I}", "status", reason->status, "text",
                                              cli_json_text(reason->text, strlen(reason->text)), "count",
                                              (json_int_t)reason->count));
    }
    return json;
}

static cli_code print_json(const load_report *report, const load_result *result) {
    const load_plan *plan = report->plan;
    double answers = load_answers_per_second(result), texts = (double)plan->requests->texts;
    json_t *json = json_pack(
        "{s:o, s:s, s:s, s:I, s:I, s:f, s:f}", "url", cli_json_text(report->url, strlen(report->url)), "form",
        report->form, "arrivals", result->rate > 0 ? plan->poisson ? "poisson" : "constant" : "closed",
        "connections", (json_int_t)plan->connections, "texts_per_request", (json_int_t)plan->requests->texts,
        "rate", result->rate, "seconds", result->seconds);
    json_t *more = json_pack(
        "{s:I, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "requests", (json_int_t)result->requests,
        "answers_per_s", answers, "texts_per_s", answers * texts, "deadline_ms", plan->deadline * 1e3,
        "good_per_s", (double)result->good / result->seconds, "refused", (json_int_t)result->refused,
        "retry_after", (json_int_t)result->retry_after, "errors", (json_int_t)count_errors(result), "resent",
        (json_int_t)result->resent, "different", (json_int_t)result->different);
    json_object_update(json, more);
    json_decref(more);
    json_object_set_new(json, "latency_ms", histogram_json(&result->latency));
    json_object_set_new(json, "refusal_ms", histogram_json(&result->refusal));
    json_object_set_new(json, "lag_ms", histogram_json(&result->lag));
    json_object_set_new(json, "status", statuses_json(result));
    json_object_set_new(json, "lost", losses_json(result));
    json_object_set_new(json, "reasons", reasons_json(result));
    cli_code code = cli_print_json(json);
    return code == CLI_DONE ? cli_flush() : code;
}

/* ---- The table ---- */

void load_print_heading(const load_report *report) {
    const load_plan *plan = report->plan;
    cli_put_column(stdout, 0, report->url);
    printf(": form %s, %zu texts, %zu per request; up to %zu connections; %g s each after %g s of warm-up\n",
           report->form, report->texts, plan->requests->texts, plan->connections, plan->duration,
           plan->warmup);
    printf("%10s %10s %10s %9s %9s %9s %9s %9s %9s %9s\n", "requests/s", "answers/s", "good/s", "ms p50",
           "p90", "p99", "p99.9", "max", "refused", "errors");
}

static void print_milliseconds(double ms) {
    if (isnan(ms)) {
        printf(" %9s", "-");
    } else {
        printf(" %9.*f", ms < 100 ? 2 : 0, ms);
    }
}

/* What the line of the table does not show, if anything. */
static void print_notes(const load_result *result) {
    for (size_t i = 0; i < LOAD_REASONS && result->reasons[i].count > 0; i++) {
        const load_reason *reason = &result->reasons[i];
        printf("    %llu of %d: ", (unsigned long long)reason->count, reason->status);
        cli_put_line(stdout, reason->text);
    }
    for (int i = 0; i < LOAD_LOSS_COUNT; i++) {
        if (result->losses[i] > 0)
            printf("    %llu lost: %s\n", (unsigned long long)result->losses[i], load_losses[i].meaning);
    }
    if (result->different > 0) {
        printf("    %llu answers differ from the first one to the same text\n",
               (unsigned long long)result->different);
    }
    if (result->resent > 0)
        printf("    %llu sent anew, a kept connection having ended\n", (unsigned long long)result->resent);
    double lag = load_histogram_ms(&result->lag, 99);
    if (lag > 1 && lag > 0.1 * load_histogram_ms(&result->latency, 99)) {
        printf("    1 %% of the requests went %.1f ms late, since this program did not get the processor\n",
               lag);
    }
}

cli_code load_print_result(const load_report *report, const load_result *result) {
    if (cli_has(report->args, CLI_JSON)) return print_json(report, result);
    if (result->rate > 0) {
        printf("%10.0f", result->rate);
    } else {
        printf("%10s", "closed");
    }
    printf(" %10.0f %10.0f", load_answers_per_second(result), (double)result->good / result->seconds);
    for (int i = 0; i < PERCENTILES; i++)
        print_milliseconds(load_histogram_ms(&result->latency, percentiles[i]));
    print_milliseconds(load_histogram_ms(&result->latency, 100));
    printf(" %9llu %9llu\n", (unsigned long long)result->refused, (unsigned long long)count_errors(result));
    print_notes(result);
    return cli_flush();
}
