/* SPDX-License-Identifier: Apache-2.0
 * Prints the engines, and one table per cell; or one line of JSON for each. */
#include "bench/print.h"
#include "cli/options.h"
#include "cli/text.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* The width of a column. */
static int width_of(const bench_run *c, bool provider) {
    int max = 8;
    for (size_t i = 0; i < c->count; i++) {
        int n = cli_columns(provider ? c->items[i].provider : c->items[i].name);
        if (n > max) max = n;
    }
    return max;
}

cli_code bench_print_engines(const bench_run *c) {
    int name = width_of(c, false), provider = width_of(c, true);
    if (cli_has(c->args, CLI_JSON)) return CLI_DONE; /* every line of a cell says it */
    printf("%s, %s, %d thread%s\n", c->machine.cpu, c->machine.isa, c->threads, c->threads == 1 ? "" : "s");
    printf("%-*s %-*s %10s %9s %9s %9s\n", name, "model", provider, "engine", "version", "file MB", "load ms",
           "peak MB");
    for (size_t i = 0; i < c->count; i++) {
        const bench_engine *it = &c->items[i];
        cli_put_column(stdout, name, it->name);
        printf(" %-*s %10s %9.1f %9.1f %9.1f\n", provider, it->provider, it->version,
               (double)it->bytes * 1e-6, it->load_ms, it->peak_mb);
    }
    return cli_flush();
}

static cli_code print_json(const bench_run *c, const bench_engine *it, const bench_cell *cell) {
    const bench_times *times = &it->times;
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:f, s:o}", "provider",
        it->provider, "version", it->version, "model", cli_json_text(it->name, strlen(it->name)), "threads",
        c->threads, "batch", (json_int_t)cell->batch, "seq", (json_int_t)cell->seq, "ms_p50", times->p50,
        "ms_p90", times->p90, "ms_p99", times->p99, "tokens_per_s", times->tokens_per_s, "texts_per_s",
        times->texts_per_s, "runs", (json_int_t)times->count, "file_bytes", (json_int_t)it->bytes, "load_ms",
        it->load_ms, "peak_mb", it->peak_mb, "difference", cli_json_real(it->difference));
    bench_set_busy(line, &c->busy);
    return cli_print_json(line);
}

cli_code bench_print_cell(const bench_run *c, const bench_cell *cell) {
    int name = width_of(c, false), provider = width_of(c, true);
    bool json = cli_has(c->args, CLI_JSON);
    if (!json && cell->seq > 0) printf("\n%ld x %ld tokens\n", cell->batch, cell->seq);
    if (!json && cell->seq == 0)
        printf("\n%zu texts, %zu tokens, batches of %ld\n", c->texts, c->tokens, cell->batch);
    if (!json) {
        printf("%-*s %-*s %10s %10s %10s %10s %9s %6s %6s %10s\n", name, "model", provider, "engine",
               "ms p50", "ms p90", "ms p99", "tokens/s", "texts/s", "runs", "times", "difference");
    }
    for (size_t i = 0; i < c->count; i++) {
        const bench_engine *it = &c->items[i];
        const bench_times *times = &it->times;
        if (json) {
            cli_code code = print_json(c, it, cell);
            if (code != CLI_DONE) return code;
            continue;
        }
        cli_put_column(stdout, name, it->name);
        printf(" %-*s %10.3f %10.3f %10.3f %10.0f %9.1f %6zu %6.2f %10.1e\n", provider, it->provider,
               times->p50, times->p90, times->p99, times->tokens_per_s, times->texts_per_s, times->count,
               times->p50 / c->items[0].times.p50, it->difference);
    }
    if (!json) bench_print_busy(&c->busy);
    return cli_flush();
}
