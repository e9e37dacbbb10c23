/* SPDX-License-Identifier: Apache-2.0
 * The forms of one model take turns: blocks of texts alone, then batches, each until its part of the time is over. */
#include "cmd/doctor_forms.h"
#include "bench/process.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 64, BLOCK = 8, MOST_BATCH = 32, BATCH_TOKENS = 1024, MOST_ROUNDS = 15 };
/* Seconds since the start by which the last block, and the last round of batches, should be over; the first of either is
 * run anyway. Models of up to 100 million parameters are done in ten seconds. */
static const double alone_until = 5, batches_until = 8;

/* Whether another round ends by `until` if it takes as long as the one that began at `start`. */
static bool fits(double start, double until) {
    double now = cli_now();
    return now + (now - start) < until;
}

/* ---- Making them ---- */

static retort_status make_bf16(doctor_forms *f, retort_model **out, const retort_model *base,
                               retort_error *err) {
    char path[BENCH_PATH + 16];
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    snprintf(path, sizeof path, "%s/float.onnx", f->run.folder);
    cli_remove_at_signal(path);
    options.dtype = RETORT_BF16;
    retort_status status = retort_model_export(base, path, NULL, NULL, err);
    return status == RETORT_OK ? retort_model_import(out, path, &options, err) : status;
}

static retort_status make_integers(retort_model **out, const retort_model *base, const char *recipe,
                                   retort_error *err) {
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    options.recipe = recipe;
    return retort_model_quantize(out, base, &options, err);
}

static retort_status make(doctor_forms *f, retort_model **out, doctor_form_id id, retort_model *base,
                          retort_error *err) {
    switch (id) {
    case DOCTOR_BF16:
        return make_bf16(f, out, base, err);
    case DOCTOR_INT8:
        return make_integers(out, base, "int8", err);
    case DOCTOR_INT4:
        return make_integers(out, base, "int4", err);
    default: /* the floats themselves */
        *out = retort_model_retain(base);
        return RETORT_OK;
    }
}

static doctor_form *add(doctor_forms *f, doctor_form_id id, const char *name, retort_unpack unpack) {
    doctor_form *it = &f->items[f->count++];
    *it = (doctor_form){.id = id, .unpack = unpack};
    snprintf(it->name, sizeof it->name, "%.16s%s", name, unpack == RETORT_UNPACK_NEVER ? " codes" : "");
    return it;
}

/* The file of a form, loaded from it: as it will be served, and its codes apart from those that are unpacked. */
static cli_code take(doctor_forms *f, doctor_form *it, const char *path) {
    retort_error err;
    snprintf(it->path, sizeof it->path, "%s", path);
    it->bytes = bench_file_bytes(path);
    if (retort_model_load(&it->model, path, &err) != RETORT_OK) return cli_fail(&err, true);
    return bench_keep(&f->run, it->model);
}

/* `source`: the user's model; its floats need no second file. */
static cli_code add_made(doctor_forms *f, doctor_form_id id, const char *name, retort_model *base,
                         const char *source) {
    retort_error err;
    retort_model *made = NULL;
    char path[BENCH_PATH];
    doctor_form *it = add(f, id, name, RETORT_UNPACK_AUTO);
    cli_progress(NULL, name, f->count, DOCTOR_FORM_COUNT);
    if (make(f, &made, id, base, &err) != RETORT_OK) {
        snprintf(it->reason, sizeof it->reason, "%s", err.text);
        return CLI_DONE;
    }
    cli_code code = bench_file(&f->run, made, source, name, path);
    retort_model_free(made);
    return code == CLI_DONE ? take(f, it, path) : code;
}

/* The same file whose codes stay codes in memory, where they would be unpacked. */
static cli_code add_codes(doctor_forms *f, doctor_form_id id, doctor_form_id of) {
    size_t from = 0;
    while (from < f->count && f->items[from].id != of) from++;
    if (from == f->count || f->items[from].model == NULL || !f->run.machine.unpacks) return CLI_DONE;
    doctor_form same = f->items[from];
    doctor_form *it = add(f, id, same.name, RETORT_UNPACK_NEVER);
    return take(f, it, same.path);
}

static cli_code add_as_it_is(doctor_forms *f, const retort_info *info, const char *path) {
    char file[BENCH_PATH];
    cli_code code = bench_file(&f->run, f->input, path, "input", file);
    if (code == CLI_DONE) code = take(f, add(f, DOCTOR_AS_IT_IS, info->dtype, RETORT_UNPACK_AUTO), file);
    bool codes = strncmp(info->dtype, "int", 3) == 0 && strcmp(info->dtype, "int8") != 0;
    return code == CLI_DONE && codes ? add_codes(f, DOCTOR_AS_CODES, DOCTOR_AS_IT_IS) : code;
}

/* Integers and bf16 are shown as they are, and integers also as the floats that they stand for. */
static cli_code make_all(doctor_forms *f, const char *path) {
    retort_info info = {.size = sizeof info};
    retort_error err;
    retort_model *base = NULL;
    retort_model_info(f->input, &info);
    bool floats = strcmp(info.dtype, "float32") == 0;
    cli_code code = floats ? CLI_DONE : add_as_it_is(f, &info, path);
    if (code != CLI_DONE) return code;
    if (floats) {
        base = retort_model_retain(f->input);
    } else if (retort_model_dequantize(&base, f->input, &err) != RETORT_OK) {
        return CLI_DONE; /* bf16: what its floats were is lost */
    }
    code = add_made(f, DOCTOR_FLOAT, "float32", base, path);
    if (code == CLI_DONE) code = add_made(f, DOCTOR_BF16, "bf16", base, path);
    if (code == CLI_DONE && strcmp(info.dtype, "int8") != 0)
        code = add_made(f, DOCTOR_INT8, "int8", base, path);
    if (code == CLI_DONE && (floats || strcmp(info.dtype, "int8") == 0)) {
        code = add_made(f, DOCTOR_INT4, "int4", base, path);
        if (code == CLI_DONE) code = add_codes(f, DOCTOR_INT4_CODES, DOCTOR_INT4);
    }
    retort_model_free(base);
    return code;
}

/* ---- Measuring them ---- */

static cli_code open_one(retort_session **out, doctor_forms *f, const doctor_form *it, int threads) {
    enum { WARM_UP = 2 }; /* weights are unpacked on their second use */
    retort_error err;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.isa = cli_text(f->run.args, CLI_ISA);
    options.threads = threads;
    options.unpack = it->unpack;
    if (retort_session_open(out, it->model, &options, &err) != RETORT_OK) return cli_fail(&err, false);
    cli_code code = CLI_DONE;
    for (int i = 0; code == CLI_DONE && i < WARM_UP; i++) code = bench_corpus_run(&f->corpus, *out, 0, 1);
    return code;
}

/* A process of its own, which answers the longest of the texts alone. */
static void measure_memory(const doctor_forms *f, doctor_form *it) {
    char threads[16], seq[24];
    process_arguments a = {.count = 0};
    snprintf(threads, sizeof threads, "%d", f->run.threads);
    snprintf(seq, sizeof seq, "%.0f", f->tokens_most);
    process_argument(&a, "retort", "bench");
    process_argument(&a, it->path, NULL);
    process_argument(&a, "--threads", threads);
    process_argument(&a, "--batch", "1");
    process_argument(&a, "--seq", seq);
    if (cli_has(f->run.args, CLI_ISA)) process_argument(&a, "--isa", cli_text(f->run.args, CLI_ISA));
    if (it->unpack == RETORT_UNPACK_NEVER) process_argument(&a, "--unpack", "never");
    process_argument(&a, "--seconds", "0");
    process_argument(&a, "--json", NULL);
    char *text = process_output("/proc/self/exe", &a);
    json_t *line = text != NULL ? json_loads(text, 0, NULL) : NULL;
    it->load_ms = json_number_value(json_object_get(line, "load_ms"));
    it->memory_mb = json_number_value(json_object_get(line, "peak_mb"));
    json_decref(line);
    free(text);
}

static cli_code open_all(doctor_forms *f) {
    cli_code code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < f->count; i++) {
        doctor_form *it = &f->items[i];
        if (it->model == NULL) continue;
        cli_progress(NULL, "memory", i, f->count);
        measure_memory(f, it);
        code = open_one(&it->team, f, it, f->run.threads);
        if (code == CLI_DONE && f->run.threads > 1) code = open_one(&it->single, f, it, 1);
    }
    return code;
}

static cli_code time_run(doctor_forms *f, retort_session *session, size_t from, size_t to,
                         bench_times *times) {
    double start = cli_now();
    cli_code code = bench_corpus_run(&f->corpus, session, from, to);
    if (code == CLI_DONE && !bench_add_time(times, (cli_now() - start) * 1e3)) code = cli_no_memory();
    return code;
}

/* The first text is run once more, unmeasured: what the form before left in the caches is not its own. */
static cli_code time_block(doctor_forms *f, retort_session *session, size_t block, bench_times *times) {
    size_t from = block * BLOCK, to = from + BLOCK < f->corpus.count ? from + BLOCK : f->corpus.count;
    cli_code code = bench_corpus_run(&f->corpus, session, from, from + 1);
    for (size_t i = from; code == CLI_DONE && i < to; i++) code = time_run(f, session, i, i + 1, times);
    return code;
}

static cli_code time_alone(doctor_forms *f, double until) {
    cli_code code = CLI_DONE;
    size_t blocks = (f->corpus.count + BLOCK - 1) / BLOCK;
    double start = 0;
    for (size_t b = 0; code == CLI_DONE && b < blocks && (b == 0 || fits(start, until)); b++) {
        start = cli_now();
        for (size_t i = 0; code == CLI_DONE && i < f->count; i++) {
            doctor_form *it = &f->items[i];
            cli_progress(NULL, "a text alone", b * f->count + i, blocks * f->count);
            if (it->model != NULL) code = time_block(f, it->team, b, &it->alone);
            if (code == CLI_DONE && it->single != NULL)
                code = time_block(f, it->single, b, &it->alone_single);
        }
    }
    return code;
}

static cli_code time_batches(doctor_forms *f, double until) {
    cli_code code = CLI_DONE;
    double start = 0;
    for (size_t r = 0; code == CLI_DONE && r < MOST_ROUNDS && (r == 0 || fits(start, until)); r++) {
        start = cli_now();
        for (size_t i = 0; code == CLI_DONE && i < f->count; i++) {
            doctor_form *it = &f->items[i];
            if (it->model == NULL) continue;
            cli_progress(NULL, "batches", r * f->count + i, MOST_ROUNDS * f->count);
            if (r == 0) code = bench_corpus_run(&f->corpus, it->team, 0, f->batch);
            if (code == CLI_DONE) code = time_run(f, it->team, 0, f->batch, &it->batches);
        }
    }
    return code;
}

static void summarise(bench_times *times) {
    if (times->count == 0) return;
    cli_sort(times->ms, times->count);
    times->p50 = cli_percentile(times->ms, times->count, 50);
    times->p99 = cli_percentile(times->ms, times->count, 99);
}

/* The sample, its lengths, and a batch that is not too long for the time there is. */
static cli_code read_texts(doctor_forms *f) {
    double lengths[TEXTS];
    cli_code code = bench_corpus_sample(&f->corpus, f->run.args, f->input, TEXTS);
    if (code != CLI_DONE) return code;
    const bench_corpus *c = &f->corpus;
    for (size_t i = 0; i < c->count; i++) lengths[i] = (double)(c->starts[i + 1] - c->starts[i]);
    cli_sort(lengths, c->count);
    f->tokens_p50 = cli_percentile(lengths, c->count, 50);
    f->tokens_most = lengths[c->count - 1];
    while (f->batch < c->count && f->batch < MOST_BATCH &&
           (f->batch == 0 || c->starts[f->batch + 1] <= BATCH_TOKENS))
        f->batch++;
    return CLI_DONE;
}

cli_code doctor_forms_measure(doctor_forms *f, const cli_args *args) {
    double start = cli_now();
    const char *path = cli_text(args, CLI_MODEL);
    *f = (doctor_forms){0};
    cli_code code = bench_open(&f->run, args);
    if (code == CLI_DONE) code = cli_open_model(&f->input, args, path, 3);
    if (code == CLI_DONE) code = read_texts(f);
    if (code == CLI_DONE) code = make_all(f, path);
    if (code == CLI_DONE) code = open_all(f);
    bench_watch watch = bench_watch_start();
    if (code == CLI_DONE) code = time_alone(f, start + alone_until);
    if (code == CLI_DONE) code = time_batches(f, start + batches_until);
    f->run.busy = bench_watch_end(&watch);
    cli_progress_end();
    for (size_t i = 0; i < f->count; i++) {
        doctor_form *it = &f->items[i];
        summarise(&it->alone);
        summarise(&it->alone_single);
        summarise(&it->batches);
        if (it->batches.count > 0) it->texts_per_s = (double)f->batch / it->batches.p50 * 1e3;
    }
    f->seconds = cli_now() - start;
    return code;
}

void doctor_forms_free(doctor_forms *f) {
    for (size_t i = 0; i < f->count; i++) {
        doctor_form *it = &f->items[i];
        retort_session_close(it->team);
        retort_session_close(it->single);
        free(it->alone.ms);
        free(it->alone_single.ms);
        free(it->batches.ms);
    }
    retort_model_free(f->input);
    bench_corpus_free(&f->corpus);
    bench_close(&f->run);
}
