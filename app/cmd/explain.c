/* SPDX-License-Identifier: Apache-2.0
 * explain: the graph, or the plan with the time of each step. */
#include "cmd/explain.h"
#include "bench/peak.h"
#include "bench/random.h"
#include "bench/steps.h"
#include "cli/file.h"
#include "cli/model.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lines; the names in them may contain anything. */
static int print_text(void *user, const char *text, size_t length) {
    for (size_t n; length > 0; text += n, length -= n) {
        const char *end = memchr(text, '\n', length);
        n = end != NULL ? (size_t)(end - text) + 1 : length;
        cli_put(user, text, n - (end != NULL));
        if (end != NULL) fputc('\n', user);
    }
    return 0;
}

static cli_code print_graph(const cli_args *args, const retort_model *model) {
    if (!cli_has(args, CLI_JSON)) {
        retort_model_print(model, print_text, stdout); /* flushing stdout finds a failed write */
        return CLI_DONE;
    }
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (memory == NULL) return cli_no_memory();
    bool printed = retort_model_print(model, cli_write_text, memory) == RETORT_OK;
    printed = fclose(memory) == 0 && printed;
    cli_code code =
        printed ? cli_print_json(json_pack("{s:o}", "graph", cli_json_text(text, length))) : cli_no_memory();
    free(text);
    return code;
}

/* "fp32, level 0: 240 nodes, 22.7 million weights, 91.0 MB" */
static void subtitle_of(char *out, size_t size, const retort_model *model) {
    retort_info info = {.size = sizeof info};
    retort_tensor_info tensor = {.size = sizeof tensor};
    char bytes[32];
    uint64_t all = 0;
    retort_model_info(model, &info);
    for (size_t i = 0; retort_model_tensor(model, i, &tensor) == RETORT_OK; i++) all += tensor.bytes;
    snprintf(out, size, "%s %s, %.100s, level %d: %zu nodes, %.1f million weights, %s", info.family,
             cli_task_names[info.task], info.recipe, info.level, info.nodes, (double)info.parameters * 1e-6,
             cli_bytes(bytes, sizeof bytes, all));
}

/* The last part of a path, without trailing slashes. */
static void title_of(char *out, size_t size, const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    snprintf(out, size, "%.*s", (int)(end - start), path + start);
}

static cli_code save_text(const char *path, const char *text, size_t length) {
    FILE *to = cli_create(path);
    if (to == NULL) return CLI_FAILED;
    fwrite(text, 1, length, to);
    return cli_close(to, path, CLI_DONE);
}

/* The picture is complete before the file is created. */
static cli_code draw_graph(const cli_args *args, const retort_model *model) {
    char title[128], subtitle[256], *text = NULL;
    size_t length = 0;
    retort_error err;
    retort_draw_options options = RETORT_DRAW_OPTIONS;
    title_of(title, sizeof title, args->words[0]);
    subtitle_of(subtitle, sizeof subtitle, model);
    options.title = title;
    options.subtitle = subtitle;
    options.whole = cli_has(args, CLI_WHOLE);
    FILE *memory = open_memstream(&text, &length);
    if (memory == NULL) return cli_no_memory();
    retort_status status = retort_model_draw(model, &options, cli_write_text, memory, &err);
    cli_code code = fclose(memory) == 0 ? CLI_DONE : cli_no_memory();
    if (status != RETORT_OK) code = cli_fail(&err, false);
    const char *path = cli_text(args, CLI_SVG);
    if (code == CLI_DONE) code = save_text(path, text, length);
    free(text);
    if (code == CLI_DONE && cli_has(args, CLI_JSON))
        return cli_print_json(json_pack("{s:o, s:I}", "output", cli_json_text(path, strlen(path)), "bytes",
                                        (json_int_t)length));
    return code;
}

/* A few runs after a warm-up run, which is one of many in the averages. */
static cli_code measure(retort_session *session, const retort_batch *batch) {
    enum { LEAST_RUNS = 20 };
    retort_matrix rows;
    retort_error err;
    double start = cli_now();
    for (int i = 0; i < LEAST_RUNS && (i < 3 || cli_now() - start < 1); i++) {
        if (retort_run(session, batch, &rows, &err) != RETORT_OK) return cli_fail(&err, false);
    }
    return CLI_DONE;
}

/* How much of the weights of fewer than 8 bits is unpacked, and why. */
static void print_unpacked(const retort_session_info *info) {
    char all[32], made[32];
    if (info->unpack_reason == NULL) return;
    printf("weights of fewer than 8 bits: %s of %s unpacked to int8 in memory (%s)\n",
           cli_bytes(made, sizeof made, info->unpacked_bytes), cli_bytes(all, sizeof all, info->int8_bytes),
           info->unpack_reason);
}

static json_t *unpacked_json(const retort_session_info *info) {
    if (info->unpack_reason == NULL) return json_null();
    return json_pack("{s:I, s:I, s:s}", "int8_bytes", (json_int_t)info->int8_bytes, "unpacked_bytes",
                     (json_int_t)info->unpacked_bytes, "reason", info->unpack_reason);
}

static cli_code print_plan(const cli_args *args, retort_session *session, const retort_peaks *peaks,
                           size_t batch, size_t seq) {
    retort_session_info info = {.size = sizeof info};
    char arena[32];
    retort_session_describe(session, &info);
    if (cli_has(args, CLI_JSON)) {
        return cli_print_json(json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:o, s:o}", "provider", info.provider,
                                        "isa", info.isa, "threads", info.threads, "batch", (json_int_t)batch,
                                        "seq", (json_int_t)seq, "arena_bytes", (json_int_t)info.arena_bytes,
                                        "unpacked", unpacked_json(&info), "steps",
                                        bench_json_steps(session, peaks)));
    }
    printf("%s, isa %s, %d thread%s, %s reserved for activations; %zu text%s of %zu tokens\n", info.provider,
           info.isa, info.threads, info.threads == 1 ? "" : "s",
           cli_bytes(arena, sizeof arena, info.arena_bytes), batch, batch == 1 ? "" : "s", seq);
    print_unpacked(&info);
    printf("\n");
    return bench_print_steps(session, peaks);
}

cli_code cmd_explain(const cli_args *args) {
    retort_model *model = NULL;
    retort_session *session = NULL;
    bench_random random = {0};
    retort_peaks peaks = {.size = sizeof peaks};
    bool peak = cli_has(args, CLI_PEAK);
    size_t batch = (size_t)cli_int(args, CLI_BATCH, 1), seq = (size_t)cli_int(args, CLI_SEQ, 128);
    cli_code code = cli_open_model(&model, args, args->words[0], (int)cli_int(args, CLI_LEVEL, 3));
    if (code == CLI_DONE) code = cli_reach_level(&model, args);
    if (code == CLI_DONE && cli_has(args, CLI_SVG)) {
        code = draw_graph(args, model);
    } else if (code == CLI_DONE && cli_has(args, CLI_GRAPH)) {
        code = print_graph(args, model);
    } else if (code == CLI_DONE) {
        retort_info info = {.size = sizeof info};
        retort_model_info(model, &info);
        if (!cli_has(args, CLI_SEQ) && info.positions < 128) seq = (size_t)info.positions;
        code = cli_open_session(&session, args, model, true);
        if (code == CLI_DONE && peak) code = bench_measure_peaks(&peaks, args);
        if (code == CLI_DONE) code = bench_random_make(&random, model, batch, seq);
        if (code == CLI_DONE) code = measure(session, &random.batch);
        if (code == CLI_DONE) code = print_plan(args, session, peak ? &peaks : NULL, batch, seq);
    }
    bench_random_free(&random);
    retort_session_close(session);
    retort_model_free(model);
    return code;
}
