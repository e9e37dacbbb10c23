/* SPDX-License-Identifier: Apache-2.0
 * load: how a server behaves at given request rates. */
#include "cmd/load.h"
#include "load/form.h"
#include "load/plan.h"
#include "load/report.h"
#include "load/result.h"
#include "load/run.h"
#include "load/saturate.h"
#include "load/target.h"
#include "load/texts.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RATES = 64, MOST_SECONDS = 600 };

static volatile sig_atomic_t interrupted;

/* The first Ctrl-C ends the run early, the second one ends the program. */
static void on_interrupt(int number) {
    interrupted = number;
}

typedef struct load {
    load_target target;
    load_texts texts;
    load_requests requests;
    load_plan plan;
    load_report report;
    double rates[MOST_RATES];
    size_t rate_count;
    bool answered; /* something was */
} load;

/* "100,200" */
static cli_code read_rates(load *l, const char *list) {
    const double max = 1e6;
    for (const char *at = list;; at++) {
        char *end;
        double rate = strtod(at, &end);
        bool usable = end != at && rate > 0 && rate <= max && l->rate_count < MOST_RATES &&
                      (*end == ',' || *end == '\0');
        if (!usable) {
            cli_error(
                "--rate: expected R[,R], each above 0 and at most %.0f, and at most %d of them, found '%s'",
                max, MOST_RATES, at);
            return CLI_USAGE;
        }
        l->rates[l->rate_count++] = rate;
        at = end;
        if (*at == '\0') return CLI_DONE;
    }
}

/* A number of seconds from min to max. */
static cli_code read_seconds(double *out, const cli_args *args, cli_option_id id, double min, double max) {
    *out = cli_real(args, id);
    if (*out >= min && *out <= max) return CLI_DONE;
    cli_error("--%s: %g is not between %g and %g seconds", cli_options[id].name, *out, min, max);
    return CLI_USAGE;
}

static cli_code read_plan(load *l, const cli_args *args) {
    load_plan *plan = &l->plan;
    bool closed = cli_has(args, CLI_CLOSED), search = cli_has(args, CLI_SATURATE);
    if (cli_has(args, CLI_RATE) + closed + search > 1) {
        cli_error("--rate, --closed and --saturate exclude each other");
        return CLI_USAGE;
    }
    cli_code code = closed ? CLI_DONE : read_rates(l, cli_text(args, CLI_RATE));
    if (closed) l->rates[l->rate_count++] = 0;
    plan->poisson = strcmp(cli_text(args, CLI_ARRIVALS), "poisson") == 0;
    plan->connections = (size_t)cli_int(args, CLI_CONNECTIONS, 0);
    plan->deadline = (double)cli_int(args, CLI_DEADLINE_MS, 0) / 1e3;
    if (search && !cli_has(args, CLI_DEADLINE_MS)) plan->deadline = 1;
    if (code == CLI_DONE) code = read_seconds(&plan->duration, args, CLI_DURATION, 0.05, MOST_SECONDS);
    if (code == CLI_DONE) code = read_seconds(&plan->warmup, args, CLI_WARMUP, 0, MOST_SECONDS);
    if (code == CLI_DONE) code = read_seconds(&plan->timeout, args, CLI_TIMEOUT, 0.001, MOST_SECONDS);
    return code;
}

static cli_code make_requests(load *l, const cli_args *args) {
    load_wire wire = {.form = cli_text(args, CLI_FORM),
                      .model = cli_text(args, CLI_SERVED_MODEL_NAME),
                      .header = cli_text(args, CLI_HEADER),
                      .texts = (size_t)cli_int(args, CLI_BATCH, 1)};
    cli_code code = load_target_make(&l->target, args->words[0], cli_text(args, CLI_UNIX));
    if (code == CLI_DONE) code = load_texts_read(&l->texts, args);
    if (code == CLI_DONE) code = load_requests_make(&l->requests, &l->target, &wire, &l->texts);
    if (code != CLI_DONE || !cli_has(args, CLI_CHECK)) return code;
    l->plan.hashes = calloc(l->requests.count, sizeof *l->plan.hashes);
    return l->plan.hashes != NULL ? CLI_DONE : cli_no_memory();
}

static cli_code show(void *user, const load_result *result) {
    load *l = user;
    if (result->seconds <= 0) return CLI_DONE; /* stopped during the warm-up */
    l->answered = l->answered || result->statuses[200] > 0;
    return load_print_result(&l->report, result);
}

static cli_code run_rates(load *l) {
    load_result *result = malloc(sizeof *result);
    cli_code code = result != NULL ? CLI_DONE : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && interrupted == 0 && i < l->rate_count; i++) {
        l->plan.rate = l->rates[i];
        code = load_run(result, &l->plan);
        if (code == CLI_DONE) code = show(l, result);
    }
    free(result);
    return code;
}

static cli_code search_rate(load *l, const cli_args *args) {
    double rate;
    cli_code code = load_saturate(&l->plan, show, l, &rate);
    if (code != CLI_DONE || interrupted != 0) return code;
    if (cli_has(args, CLI_JSON)) return cli_print_json(json_pack("{s:f}", "saturation_per_s", rate));
    printf("sustained: %.0f requests/s\n", rate);
    return CLI_DONE;
}

cli_code cmd_load(const cli_args *args) {
    load *l = calloc(1, sizeof *l);
    if (l == NULL) return cli_no_memory();
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND}, NULL);
    cli_code code = read_plan(l, args);
    if (code == CLI_DONE) code = make_requests(l, args);
    l->plan.target = &l->target;
    l->plan.requests = &l->requests;
    l->plan.stop = &interrupted;
    l->report = (load_report){args, args->words[0], cli_text(args, CLI_FORM), &l->plan, l->texts.count};
    if (code == CLI_DONE) code = load_probe(&l->plan);
    if (code == CLI_DONE) {
        if (!cli_has(args, CLI_JSON)) load_print_heading(&l->report);
        code = cli_has(args, CLI_SATURATE) ? search_rate(l, args) : run_rates(l);
    }
    if (code == CLI_DONE && interrupted != 0) {
        cli_error("interrupted");
        code = CLI_FAILED;
    }
    if (code == CLI_DONE && !l->answered) {
        cli_error("%s: no request was answered", args->words[0]);
        code = CLI_FAILED;
    }
    free(l->plan.hashes);
    load_requests_free(&l->requests);
    load_texts_free(&l->texts);
    free(l);
    return code;
}
