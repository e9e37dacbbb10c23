/* SPDX-License-Identifier: Apache-2.0
 * Engines: their files, their sessions, their turns. */
#include "bench/engines.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/shipped.h"
#include "cli/stats.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUNDS = 3, WARM_UP = 2 };

cli_code bench_open(bench_run *c, const cli_args *args) {
    const char *temporary = getenv("TMPDIR");
    *c = (bench_run){.args = args, .seconds = cli_real(args, CLI_SECONDS), .machine.size = sizeof c->machine};
    retort_machine_describe(&c->machine);
    c->threads = (int)cli_int(args, CLI_THREADS, 0);
    if (c->threads == 0) c->threads = c->machine.threads;
    if (temporary == NULL || *temporary == '\0') temporary = "/tmp";
    snprintf(c->folder, sizeof c->folder, "%.400s/retort-XXXXXX", temporary);
    if (mkdtemp(c->folder) != NULL) {
        cli_remove_at_signal(c->folder);
        return CLI_DONE;
    }
    cli_error("%s: cannot create a temporary folder", c->folder);
    *c->folder = '\0';
    return CLI_FAILED;
}

static void remove_folder(const char *folder) {
    char path[2 * BENCH_PATH];
    struct dirent **files = NULL;
    int count = scandir(folder, &files, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
        if (files[i]->d_name[0] != '.') unlink(path);
        free(files[i]);
    }
    free(files);
    rmdir(folder);
}

void bench_close(bench_run *c) {
    for (size_t i = 0; i < c->count; i++) {
        retort_session_close(c->items[i].session);
        free(c->items[i].rows);
        free(c->items[i].times.ms);
    }
    for (size_t i = 0; i < c->model_count; i++) retort_model_free(c->models[i]);
    for (size_t i = 0; i < c->result_count; i++) free(c->results[i].times);
    free(c->results);
    free(c->items);
    free(c->models);
    if (*c->folder != '\0') remove_folder(c->folder);
}

cli_code bench_keep(bench_run *c, retort_model *model) {
    retort_model **grown = realloc(c->models, (c->model_count + 1) * sizeof *grown);
    if (grown == NULL) {
        retort_model_free(model);
        return cli_no_memory();
    }
    c->models = grown;
    c->models[c->model_count++] = model;
    return CLI_DONE;
}

cli_code bench_file(bench_run *c, const retort_model *model, const char *path, const char *name, char *out) {
    retort_error err;
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    bool is_file = path != NULL && info.file_bytes > 0;
    char *found = NULL;
    cli_code code = is_file ? cli_find_model(&found, path) : CLI_DONE;
    if (code != CLI_DONE) return code;
    int n = is_file ? snprintf(out, BENCH_PATH, "%s", found)
                    : snprintf(out, BENCH_PATH, "%s/%s.retort", c->folder, name);
    free(found);
    if (n < 0 || n >= BENCH_PATH) {
        cli_error("%s: the path is too long", is_file ? path : name);
        return CLI_USAGE;
    }
    if (!is_file) cli_remove_at_signal(out);
    if (is_file || retort_model_save(model, out, &err) == RETORT_OK) return CLI_DONE;
    return cli_fail(&err, false);
}

bench_engine *bench_add(bench_run *c, const char *name, const char *provider, retort_model *model,
                        const char *path) {
    bench_engine *grown = realloc(c->items, (c->count + 1) * sizeof *grown);
    if (grown == NULL) {
        (void)cli_no_memory();
        return NULL;
    }
    c->items = grown;
    bench_engine *it = &c->items[c->count++];
    *it = (bench_engine){.name = name, .model = model, .difference = NAN, .value = NAN, .kl = NAN};
    snprintf(it->provider, sizeof it->provider, "%s", provider);
    snprintf(it->path, sizeof it->path, "%s", path);
    return it;
}

uint64_t bench_file_bytes(const char *path) {
    char data[BENCH_PATH + 8];
    struct stat info;
    uint64_t bytes = stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
    snprintf(data, sizeof data, "%s.data", path); /* tensors of an .onnx over 2 GiB */
    return bytes + (stat(data, &info) == 0 ? (uint64_t)info.st_size : 0);
}

/* Exports the model as .onnx in this form, unless that was done before. */
static cli_code export(bench_run *c, bench_engine *it, bool fused) {
    retort_error err;
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    size_t model = 0;
    while (model < c->model_count && c->models[model] != it->model) model++;
    snprintf(it->file, sizeof it->file, "%.400s/%zu%s.onnx", c->folder, model, fused ? "-fused" : "");
    if (access(it->file, R_OK) == 0) return CLI_DONE;
    options.fused = fused;
    char data[BENCH_PATH + 8];
    snprintf(data, sizeof data, "%s.data", it->file);
    cli_remove_at_signal(it->file);
    cli_remove_at_signal(data);
    retort_status status = retort_model_export(it->model, it->file, &options, NULL, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}

cli_code bench_enter(bench_run *c, bench_engine *it, bool fused) {
    retort_error err;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session_info info = {.size = sizeof info};
    bool native = strcmp(it->provider, "native") == 0;
    cli_code code = CLI_DONE;
    if (native) {
        snprintf(it->file, sizeof it->file, "%s", it->path);
        options.isa = cli_text(c->args, CLI_ISA);
        options.unpack = cli_unpack(c->args);
    } else if (cli_has(c->args, CLI_ONNX)) {
        snprintf(it->file, sizeof it->file, "%s", cli_text(c->args, CLI_ONNX));
    } else {
        code = export(c, it, fused);
    }
    if (code != CLI_DONE) return code;
    options.provider = it->provider;
    options.threads = c->threads;
    options.keep_duplicates = cli_has(c->args, CLI_KEEP_DUPLICATES);
    options.graph_level = it->graph_level;
    options.onnx = native ? NULL : it->file;
    retort_status status = retort_session_open(&it->session, it->model, &options, &err);
    if (status != RETORT_OK) return cli_fail(&err, false);
    retort_session_describe(it->session, &info);
    snprintf(it->version, sizeof it->version, "%s", info.version);
    it->bytes = bench_file_bytes(it->file);
    return CLI_DONE;
}

/* ---- Turns ---- */

bool bench_add_time(bench_times *times, double ms) {
    if (times->count == times->capacity) {
        size_t capacity = 2 * times->capacity + 64;
        double *grown = realloc(times->ms, capacity * sizeof *grown);
        if (grown == NULL) return false;
        times->ms = grown;
        times->capacity = capacity;
    }
    times->ms[times->count++] = ms;
    return true;
}

static cli_code run_once(bench_work *w, bench_engine *it, double *ms) {
    retort_matrix rows;
    retort_error err;
    if (w->texts) return bench_corpus_pass(&w->corpus, it->session, w->batch, ms);
    double start = cli_now();
    retort_status status = retort_run(it->session, &w->random.batch, &rows, &err);
    *ms = (cli_now() - start) * 1e3;
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

/* Runs for `seconds` after a warm-up. Engines prepare for each new shape, so texts need one whole pass. */
static cli_code turn(bench_work *w, bench_engine *it, double seconds) {
    double ms, start;
    int warm_up = !w->texts ? WARM_UP : it->times.count == 0 ? 1 : 0;
    for (int i = 0; i < warm_up; i++) {
        cli_code code = run_once(w, it, &ms);
        if (code != CLI_DONE) return code;
    }
    start = cli_now();
    do {
        cli_code code = run_once(w, it, &ms);
        if (code != CLI_DONE) return code;
        if (!bench_add_time(&it->times, ms)) return cli_no_memory();
    } while (cli_now() - start < seconds);
    return CLI_DONE;
}

/* The result of the first batch, and its largest difference from the model's first engine. */
static cli_code compare(bench_run *c, bench_work *w, bench_engine *it) {
    retort_error err;
    retort_matrix rows;
    retort_batch batch = w->random.batch;
    if (w->texts) {
        size_t n = w->corpus.count < w->batch ? w->corpus.count : w->batch;
        batch = (retort_batch){w->corpus.ids, w->corpus.typed ? w->corpus.types : NULL, w->corpus.starts, n};
    }
    if (retort_run(it->session, &batch, &rows, &err) != RETORT_OK) return cli_fail(&err, false);
    it->row_values = rows.rows * rows.columns;
    free(it->rows);
    it->rows = malloc(it->row_values * sizeof *it->rows + 1);
    if (it->rows == NULL) return cli_no_memory();
    memcpy(it->rows, rows.data, it->row_values * sizeof *it->rows);
    const bench_engine *first = c->items;
    while (first->model != it->model || first->session == NULL) first++;
    double max = isnan(it->difference) ? 0 : it->difference;
    for (size_t i = 0; i < it->row_values && it->row_values == first->row_values; i++) {
        max = fmax(max, fabs((double)it->rows[i] - (double)first->rows[i]));
    }
    it->difference = max;
    return CLI_DONE;
}

void bench_summarise(const bench_work *w, bench_engine *it, const bench_cell *cell) {
    bench_times *times = &it->times;
    double sum = 0, texts = w->texts ? (double)w->corpus.count : (double)cell->batch;
    double tokens = w->texts ? (double)w->corpus.tokens : (double)(cell->batch * cell->seq);
    for (size_t i = 0; i < times->count; i++) sum += times->ms[i];
    cli_sort(times->ms, times->count);
    times->p50 = cli_percentile(times->ms, times->count, 50);
    times->p90 = cli_percentile(times->ms, times->count, 90);
    times->p99 = cli_percentile(times->ms, times->count, 99);
    times->tokens_per_s = tokens * (double)times->count / sum * 1e3;
    times->texts_per_s = texts * (double)times->count / sum * 1e3;
}

static cli_code keep_result(bench_run *c, const bench_cell *cell) {
    if (c->count == 0) return CLI_DONE;
    bench_result *grown = realloc(c->results, (c->result_count + 1) * sizeof *grown);
    if (grown == NULL) return cli_no_memory();
    c->results = grown;
    bench_result *result = &c->results[c->result_count];
    *result = (bench_result){.cell = *cell, .times = calloc(c->count, sizeof *result->times)};
    if (result->times == NULL) return cli_no_memory();
    c->result_count++;
    for (size_t i = 0; i < c->count; i++) {
        result->times[i] = c->items[i].times;
        result->times[i].ms = NULL;
    }
    return CLI_DONE;
}

static cli_code take_turns(bench_run *c, bench_work *w, const bench_cell *cell) {
    cli_code code = CLI_DONE;
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].session != NULL) c->items[i].times.count = 0;
    }
    for (size_t i = 0; code == CLI_DONE && i < c->count; i++) {
        if (c->items[i].session != NULL) code = compare(c, w, &c->items[i]);
    }
    for (size_t round = 0; code == CLI_DONE && round < ROUNDS; round++) {
        for (size_t i = 0; code == CLI_DONE && i < c->count; i++) {
            cli_progress(NULL, "turns", round * c->count + i, ROUNDS * c->count);
            if (c->items[i].session != NULL) code = turn(w, &c->items[i], c->seconds / ROUNDS);
        }
    }
    cli_progress_end();
    for (size_t i = 0; code == CLI_DONE && i < c->count; i++) {
        if (c->items[i].session != NULL) bench_summarise(w, &c->items[i], cell);
    }
    return code == CLI_DONE ? keep_result(c, cell) : code;
}

cli_code bench_work_open(bench_work *w, bench_run *c, const bench_cell *cell) {
    *w = (bench_work){.texts = cell->seq == 0, .batch = (size_t)cell->batch};
    if (!w->texts) return bench_random_make(&w->random, c->models[0], w->batch, (size_t)cell->seq);
    cli_code code = bench_corpus_read(&w->corpus, c->args, c->models[0], true, -1, w->batch);
    c->texts = w->corpus.count;
    c->tokens = w->corpus.tokens;
    return code;
}

void bench_work_close(bench_work *w) {
    bench_random_free(&w->random);
    bench_corpus_free(&w->corpus);
}

cli_code bench_measure(bench_run *c, const bench_cell *cell) {
    bench_work w;
    cli_code code = bench_work_open(&w, c, cell);
    bench_watch watch = bench_watch_start();
    if (code == CLI_DONE) code = take_turns(c, &w, cell);
    c->busy = bench_watch_end(&watch);
    if (code == CLI_DONE && c->result_count > 0) c->results[c->result_count - 1].busy = c->busy;
    bench_work_close(&w);
    return code;
}

const char *bench_next_cell(const char *text, bench_cell *out) {
    char *end;
    out->batch = strtol(text, &end, 10);
    if (end == text || *end != 'x') return NULL;
    text = end + 1;
    out->seq = strtol(text, &end, 10);
    bool sizes = out->batch > 0 && out->batch <= 65536 && out->seq > 0 && out->seq <= 65536;
    if (end == text || (*end != ',' && *end != '\0') || !sizes) return NULL;
    return *end == ',' ? end + 1 : end;
}
