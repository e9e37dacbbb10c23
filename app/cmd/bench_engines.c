/* SPDX-License-Identifier: Apache-2.0
 * bench MODEL… --provider A,B: every model in every engine. */
#include "cmd/bench_engines.h"
#include "bench/accuracy.h"
#include "bench/engines.h"
#include "bench/memory.h"
#include "bench/print.h"
#include "bench/report.h"
#include "cli/model.h"
#include "retort.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Whether an engine reads the fused form of an export best; CLI_USAGE for one that does not exist. */
static cli_code find_form(const char *provider, bool *fused) {
    retort_provider_info info = {.size = sizeof info};
    char known[256] = "";
    size_t n = 0;
    for (size_t i = 0; retort_provider(i, &info) == RETORT_OK; i++) {
        *fused = info.fused;
        if (strcmp(info.name, provider) == 0) return CLI_DONE;
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i > 0 ? ", " : "", info.name);
    }
    cli_error("unknown provider '%s'; known are %s", provider, known);
    return CLI_NO_PROVIDER;
}

/* One model, in all engines. */
static cli_code enter_model(bench_run *c, const char *path, const cli_names *providers) {
    char name[24], file[BENCH_PATH];
    retort_model *model = NULL;
    bool fused;
    cli_code code = cli_open_model(&model, c->args, path, 3);
    if (code == CLI_DONE) code = bench_keep(c, model);
    snprintf(name, sizeof name, "%zu", c->model_count);
    if (code == CLI_DONE) code = bench_file(c, model, path, name, file);
    for (size_t i = 0; code == CLI_DONE && i < providers->count; i++) {
        code = find_form(providers->items[i], &fused);
        bench_engine *it = code == CLI_DONE ? bench_add(c, path, providers->items[i], model, file) : NULL;
        if (it == NULL) return code == CLI_DONE ? CLI_FAILED : code;
        if (strncmp(it->provider, "onnxruntime", 11) == 0)
            it->graph_level = cli_text(c->args, CLI_GRAPH_LEVEL);
        code = bench_enter(c, it, fused);
    }
    return code;
}

/* The random ids and texts of the first model must suit all of them. */
static cli_code check_alike(const bench_run *c) {
    retort_info first = {.size = sizeof first}, other = {.size = sizeof other};
    retort_model_info(c->models[0], &first);
    for (size_t i = 1; i < c->model_count; i++) {
        retort_model_info(c->models[i], &other);
        if (first.task == other.task && first.vocab == other.vocab && first.labels == other.labels) continue;
        cli_error("%s: %lld labels and %lld pieces, task %s: expected %lld, %lld and %s as in %s",
                  c->args->words[i], (long long)other.labels, (long long)other.vocab,
                  cli_task_names[other.task], (long long)first.labels, (long long)first.vocab,
                  cli_task_names[first.task], c->args->words[0]);
        return CLI_BAD_DATA;
    }
    return CLI_DONE;
}

/* Cell `index` of those that the options request; false beyond the last. */
static bool cell_at(const bench_run *c, size_t index, bench_cell *cell) {
    const cli_args *args = c->args;
    retort_info info = {.size = sizeof info};
    retort_model_info(c->models[0], &info);
    if (cli_has(args, CLI_DATA)) {
        *cell = (bench_cell){cli_int(args, CLI_BATCH, 32), 0};
        return index == 0;
    }
    if (cli_has(args, CLI_BATCH) || cli_has(args, CLI_SEQ)) {
        long max = info.positions < 128 ? (long)info.positions : 128;
        *cell = (bench_cell){cli_int(args, CLI_BATCH, 1), cli_int(args, CLI_SEQ, max)};
        return index == 0;
    }
    for (const char *grid = cli_text(args, CLI_GRID); *grid != '\0';) {
        grid = bench_next_cell(grid, cell);
        if (!cli_has(args, CLI_GRID) && cell->seq > info.positions) continue;
        if (index-- == 0) return true;
    }
    return false;
}

/* The cell with the most tokens, for measuring memory. */
static bench_cell largest_cell(const bench_run *c) {
    bench_cell cell, max = {0};
    for (size_t i = 0; cell_at(c, i, &cell); i++) {
        if (i == 0 || cell.batch * cell.seq > max.batch * max.seq) max = cell;
    }
    return max;
}

static cli_code check_options(const cli_args *args) {
    bench_cell cell;
    bool single = cli_has(args, CLI_PROFILE) || cli_has(args, CLI_PEAK) || cli_has(args, CLI_PAD);
    if (single) {
        cli_error("--profile, --peak and --pad are for one model in one engine");
        return CLI_USAGE;
    }
    bool sizes = cli_has(args, CLI_BATCH) || cli_has(args, CLI_SEQ);
    if (cli_has(args, CLI_GRID) && (sizes || cli_has(args, CLI_DATA))) {
        cli_error("--grid replaces --batch, --seq and --data: give one or the other");
        return CLI_USAGE;
    }
    for (const char *grid = cli_text(args, CLI_GRID); *grid != '\0';) {
        grid = bench_next_cell(grid, &cell);
        if (grid != NULL) continue;
        cli_error("--grid: expected BxS[,BxS] such as 1x16,8x128, found '%s'", cli_text(args, CLI_GRID));
        return CLI_USAGE;
    }
    return CLI_DONE;
}

static cli_code enter_all(bench_run *c) {
    cli_names providers;
    cli_code code = cli_split_names(&providers, c->args, CLI_PROVIDER);
    for (int i = 0; code == CLI_DONE && i < c->args->word_count; i++) {
        code = enter_model(c, c->args->words[i], &providers);
    }
    cli_names_free(&providers);
    return code == CLI_DONE ? check_alike(c) : code;
}

/* For the page, where the texts have labels. */
static void evaluate(bench_run *c) {
    retort_error err;
    if (!cli_has(c->args, CLI_DATA) || bench_evaluate(c, &c->items[0], &err) == RETORT_OK) return;
    cli_say("the page has no accuracy: %s", err.text);
    for (size_t i = 0; i < c->count; i++) c->items[i].value = c->items[i].kl = NAN;
}

static cli_code run_contest(bench_run *c) {
    bench_cell cell = largest_cell(c);
    cli_code code = bench_measure_memory(c, &cell);
    if (code == CLI_DONE) code = bench_print_engines(c);
    for (size_t i = 0; code == CLI_DONE && cell_at(c, i, &cell); i++) {
        code = bench_measure(c, &cell);
        if (code == CLI_DONE) code = bench_print_cell(c, &cell);
    }
    const char *html = cli_text(c->args, CLI_HTML);
    if (code != CLI_DONE || html == NULL) return code;
    evaluate(c);
    return bench_report(c, "retort bench", html);
}

cli_code cmd_bench_engines(const cli_args *args) {
    bench_run c;
    if (check_options(args) != CLI_DONE) return CLI_USAGE;
    cli_code code = bench_open(&c, args);
    if (code == CLI_DONE) code = enter_all(&c);
    if (code == CLI_DONE) code = run_contest(&c);
    bench_close(&c);
    return code;
}
