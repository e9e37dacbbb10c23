/* SPDX-License-Identifier: Apache-2.0
 * bench: latency and throughput of random batches, or of the texts of a file. */
#include "cmd/bench.h"
#include "bench/busy.h"
#include "bench/corpus.h"
#include "bench/engines.h"
#include "bench/peak.h"
#include "bench/random.h"
#include "bench/steps.h"
#include "cli/model.h"
#include "cli/stats.h"
#include "cmd/bench_engines.h"
#include "cmd/bench_stages.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bench {
    const cli_args *args;
    const char *path;
    retort_model *model;
    retort_session *session;
    retort_session_info engine;
    bool profile;              /* print the steps */
    const retort_peaks *peaks; /* peaks to compare the steps with, or NULL */
    double load_ms, seconds;
    long positions;
    bench_busy busy; /* while the line was measured */
    double *times;   /* ms of each run */
    size_t count, capacity;
} bench;

static bool add_time(bench *b, double ms) {
    if (b->count == b->capacity) {
        size_t capacity = 2 * b->capacity + 64;
        double *grown = realloc(b->times, capacity * sizeof *grown);
        if (grown == NULL) return false;
        b->times = grown;
        b->capacity = capacity;
    }
    b->times[b->count++] = ms;
    return true;
}

static cli_code run_once(bench *b, const retort_batch *batch) {
    retort_matrix rows;
    retort_error err;
    return retort_run(b->session, batch, &rows, &err) == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

/* ---- Random batches ---- */

static cli_code measure_cell(bench *b, const retort_batch *batch) {
    enum { WARM_UP = 2, LEAST_RUNS = 3 };
    b->count = 0;
    for (int i = 0; i < WARM_UP; i++) {
        cli_code code = run_once(b, batch);
        if (code != CLI_DONE) return code;
    }
    bench_watch watch = bench_watch_start();
    double start = cli_now();
    while (b->count < LEAST_RUNS || cli_now() - start < b->seconds) {
        double from = cli_now();
        cli_code code = run_once(b, batch);
        if (code != CLI_DONE) return code;
        if (!add_time(b, (cli_now() - from) * 1e3)) return cli_no_memory();
    }
    b->busy = bench_watch_end(&watch);
    cli_sort(b->times, b->count);
    return CLI_DONE;
}

/* The members that every line of JSON starts with. */
static json_t *line_json(const bench *b, long batch) {
    return json_pack("{s:s, s:o, s:s, s:i, s:I}", "provider", b->engine.provider, "model",
                     cli_json_text(b->path, strlen(b->path)), "isa", b->engine.isa, "threads",
                     b->engine.threads, "batch", (json_int_t)batch);
}

static cli_code print_line(const bench *b, json_t *line, json_t *more) {
    json_object_update(line, more);
    json_decref(more);
    bench_set_busy(line, &b->busy);
    if (b->profile) json_object_set_new(line, "steps", bench_json_steps(b->session, b->peaks));
    cli_code code = cli_print_json(line);
    return code == CLI_DONE ? cli_flush() : code;
}

static cli_code print_cell(const bench *b, const bench_cell *at) {
    double p50 = cli_percentile(b->times, b->count, 50), p90 = cli_percentile(b->times, b->count, 90);
    double p99 = cli_percentile(b->times, b->count, 99), sum = 0;
    for (size_t i = 0; i < b->count; i++) sum += b->times[i];
    double rate = (double)(at->batch * at->seq) * (double)b->count / sum * 1e3;
    if (cli_has(b->args, CLI_JSON)) {
        return print_line(b, line_json(b, at->batch),
                          json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "seq",
                                    (json_int_t)at->seq, "ms_p50", p50, "ms_p90", p90, "ms_p99", p99,
                                    "tokens_per_s", rate, "load_ms", b->load_ms, "rss_mb", cli_rss_mb(),
                                    "peak_mb", cli_peak_mb(), "runs", (json_int_t)b->count));
    }
    printf("%6ld %6ld %10.3f %10.3f %10.3f %12.0f %10.1f %6zu\n", at->batch, at->seq, p50, p90, p99, rate,
           (double)at->batch * (double)b->count / sum * 1e3, b->count);
    return b->profile ? bench_print_steps(b->session, b->peaks) : cli_flush();
}

static cli_code run_cell(bench *b, const bench_cell *at) {
    bench_random random;
    cli_code code = bench_random_make(&random, b->model, (size_t)at->batch, (size_t)at->seq);
    if (code != CLI_DONE) return code;
    code = measure_cell(b, &random.batch);
    if (code == CLI_DONE) code = print_cell(b, at);
    bench_random_free(&random);
    return code;
}

static cli_code check_grid(const char *grid) {
    bench_cell at = {0};
    for (const char *rest = grid; *rest != '\0';) {
        rest = bench_next_cell(rest, &at);
        if (rest != NULL) continue;
        cli_error("--grid: expected BxS[,BxS] such as 1x16,8x128, found '%s'", grid);
        return CLI_USAGE;
    }
    return CLI_DONE;
}

/* The rows of --grid; skips rows of the default grid that are longer than the model's positions. */
static cli_code run_grid(bench *b) {
    const char *grid = cli_text(b->args, CLI_GRID);
    cli_code code = CLI_DONE;
    for (bench_cell at = {0}; code == CLI_DONE && *grid != '\0';) {
        grid = bench_next_cell(grid, &at);
        if (cli_has(b->args, CLI_GRID) || at.seq <= b->positions) code = run_cell(b, &at);
    }
    return code;
}

static void print_heading(const bench *b) {
    printf("%s, isa %s, %d threads, loaded in %.1f ms\n", b->engine.provider, b->engine.isa,
           b->engine.threads, b->load_ms);
    printf("%6s %6s %10s %10s %10s %12s %10s %6s\n", "batch", "seq", "ms p50", "ms p90", "ms p99", "tokens/s",
           "texts/s", "runs");
}

static cli_code run_random(bench *b) {
    bool one = cli_has(b->args, CLI_BATCH) || cli_has(b->args, CLI_SEQ);
    if (cli_has(b->args, CLI_PAD)) {
        cli_error("--pad needs --data: the random texts of a row all have the same length");
        return CLI_USAGE;
    }
    bench_cell at = {cli_int(b->args, CLI_BATCH, 1), cli_int(b->args, CLI_SEQ, 128)};
    if (!cli_has(b->args, CLI_SEQ) && at.seq > b->positions) at.seq = b->positions;
    if (one && cli_has(b->args, CLI_GRID)) {
        cli_error("--grid replaces --batch and --seq: give one or the other");
        return CLI_USAGE;
    }
    if (check_grid(cli_text(b->args, CLI_GRID)) != CLI_DONE) return CLI_USAGE;
    if (cli_has(b->args, CLI_JSON)) return one ? run_cell(b, &at) : run_grid(b);
    print_heading(b);
    bench_watch watch = bench_watch_start();
    cli_code code = one ? run_cell(b, &at) : run_grid(b);
    b->busy = bench_watch_end(&watch);
    if (code == CLI_DONE) bench_print_busy(&b->busy);
    return code;
}

/* ---- Texts of a file ---- */

/* Pads each text to the longest of its batch with the model's pad token, as if that were text. */
static cli_code corpus_pad(bench_corpus *c, const bench *b, size_t batch) {
    bench_corpus padded = {.starts = calloc(c->count + 1, sizeof *padded.starts), .typed = c->typed};
    retort_info info = {.size = sizeof info};
    int32_t pad = retort_model_info(b->model, &info) == RETORT_OK ? info.pad : -1;
    bool fits = padded.starts != NULL;
    size_t longest = 0;
    for (size_t i = 0; fits && i < c->count; i++) {
        for (size_t k = i; i % batch == 0 && k < c->count && k < i + batch; k++) {
            size_t n = (size_t)(c->starts[k + 1] - c->starts[k]);
            if (k == i || n > longest) longest = n;
        }
        int32_t at = c->starts[i];
        fits = bench_corpus_append(&padded, c->ids + at, c->types + at, (size_t)(c->starts[i + 1] - at),
                                   longest, pad);
    }
    bench_corpus old = *c;
    *c = padded;
    c->data = old.data;
    c->offsets = old.offsets;
    old.data = NULL;
    old.offsets = NULL;
    bench_corpus_free(&old);
    if (!fits) return cli_no_memory();
    if (pad >= 0) return CLI_DONE;
    cli_error("--pad: %s: no pad token in the vocabulary", b->path);
    return CLI_BAD_DATA;
}

static cli_code measure_passes(bench *b, bench_corpus *c, size_t batch) {
    double ms;
    cli_code code = bench_corpus_run(c, b->session, 0, c->count < batch ? c->count : batch);
    bench_watch watch = bench_watch_start();
    double start = cli_now();
    while (code == CLI_DONE && (b->count == 0 || cli_now() - start < b->seconds)) {
        code = bench_corpus_pass(c, b->session, batch, &ms);
        if (code == CLI_DONE && !add_time(b, ms)) code = cli_no_memory();
    }
    b->busy = bench_watch_end(&watch);
    cli_sort(b->times, b->count);
    return code;
}

static cli_code print_corpus(const bench *b, const bench_corpus *c, size_t batch) {
    double ms = cli_percentile(b->times, b->count, 50);
    size_t count = c->tokens - c->padding; /* padding is cost, not work */
    double texts = (double)c->count / ms * 1e3, tokens = (double)count / ms * 1e3;
    if (cli_has(b->args, CLI_JSON)) {
        return print_line(b, line_json(b, (long)batch),
                          json_pack("{s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:I}", "ms_total", ms,
                                    "sentences_per_s", texts, "tokens_per_s", tokens, "tokens",
                                    (json_int_t)count, "padding", (json_int_t)c->padding, "sentences",
                                    (json_int_t)c->count, "load_ms", b->load_ms, "rss_mb", cli_rss_mb(),
                                    "peak_mb", cli_peak_mb(), "passes", (json_int_t)b->count));
    }
    printf("%s, isa %s, %d threads, loaded in %.1f ms\n", b->engine.provider, b->engine.isa,
           b->engine.threads, b->load_ms);
    printf("%zu texts, %zu tokens", c->count, count);
    if (c->padding > 0) printf(" and %zu of padding", c->padding);
    printf(", batches of %zu: %.2f ms, %.0f texts/s, %.0f tokens/s (median of %zu)\n", batch, ms, texts,
           tokens, b->count);
    bench_print_busy(&b->busy);
    return b->profile ? bench_print_steps(b->session, b->peaks) : CLI_DONE;
}

static cli_code run_texts(bench *b) {
    bench_corpus c = {0};
    size_t batch = (size_t)cli_int(b->args, CLI_BATCH, 32);
    if (cli_has(b->args, CLI_GRID) || cli_has(b->args, CLI_SEQ)) {
        cli_error("--data replaces --grid and --seq: give one or the other");
        return CLI_USAGE;
    }
    cli_code code = bench_corpus_read(&c, b->args, b->model, true, -1, batch);
    if (code == CLI_DONE && cli_has(b->args, CLI_PAD)) code = corpus_pad(&c, b, batch);
    if (code == CLI_DONE) code = measure_passes(b, &c, batch);
    if (code == CLI_DONE) code = print_corpus(b, &c, batch);
    bench_corpus_free(&c);
    return code;
}

static cli_code run_one(const cli_args *args) {
    bench b = {.args = args, .path = args->words[0], .seconds = cli_real(args, CLI_SECONDS)};
    retort_peaks peaks = {.size = sizeof peaks};
    b.engine.size = sizeof b.engine;
    if (cli_has(args, CLI_PEAK)) b.peaks = &peaks;
    b.profile = b.peaks != NULL || cli_has(args, CLI_PROFILE);
    double start = cli_now();
    cli_code code = cli_open_model(&b.model, args, b.path, 3);
    if (code == CLI_DONE) code = cli_open_session(&b.session, args, b.model, b.profile);
    b.load_ms = (cli_now() - start) * 1e3;
    if (code == CLI_DONE && b.peaks != NULL) code = bench_measure_peaks(&peaks, args);
    if (code == CLI_DONE) {
        retort_info info = {.size = sizeof info};
        retort_model_info(b.model, &info);
        b.positions = (long)info.positions;
        retort_session_describe(b.session, &b.engine);
        code = cli_has(args, CLI_DATA) ? run_texts(&b) : run_random(&b);
    }
    free(b.times);
    retort_session_close(b.session);
    retort_model_free(b.model);
    return code;
}

cli_code cmd_bench(const cli_args *args) {
    bool several = args->word_count > 1 || strchr(cli_text(args, CLI_PROVIDER), ',') != NULL;
    if (cli_has(args, CLI_STAGES)) return cmd_bench_stages(args);
    return several || cli_has(args, CLI_HTML) ? cmd_bench_engines(args) : run_one(args);
}
