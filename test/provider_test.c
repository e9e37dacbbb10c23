/* SPDX-License-Identifier: Apache-2.0
 * Other engines beside ours in one process: the same rows for every task, whatever the batch. Tests of an
 * engine that is not installed are skipped. */
#include "golden_names.h"
#include "retort.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const engines[] = {"onnxruntime", "onnxruntime:openvino", "openvino"};
enum { ENGINES = sizeof engines / sizeof *engines };
enum { SEQUENCES = 5, TOKENS = 40 };

static bool is_found(const char *name) {
    retort_provider_info info = {.size = sizeof info};
    for (size_t i = 0; retort_provider(i, &info) == RETORT_OK; i++) {
        if (strcmp(info.name, name) == 0) return info.found;
    }
    return false;
}

/* The engines' libraries leave blocks behind that a sanitizer reports. */
static void need(const char *name) {
    const char *sanitizer = getenv("RETORT_SANITIZER");
    if (sanitizer != NULL && strcmp(sanitizer, "none") != 0) {
        print_message("other engines are not run under a sanitizer\n");
        skip();
    }
    if (is_found(name)) return;
    print_message("%s is not installed: tools/providers does it\n", name);
    skip();
}

static retort_model *import(const char *name, int level) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.level = level;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

typedef struct sample {
    int32_t ids[TOKENS], types[TOKENS];
    retort_batch batch;
} sample;

/* Five sequences of 1 to 17 tokens, the second one twice; a mask in some; second texts where
 * there are types. */
static void make_sample(sample *s, const retort_model *model) {
    static const int32_t offsets[SEQUENCES + 1] = {0, 7, 10, 13, 30, 31};
    retort_info info = {.size = sizeof info};
    retort_text mask = {.text = "[MASK]", .length = 6};
    retort_tokens tokens = {0};
    assert_int_equal(retort_model_info(model, &info), RETORT_OK);
    assert_int_equal(retort_tokenize(model, &mask, NULL, &tokens, NULL), RETORT_OK);
    for (int32_t i = 0; i < offsets[SEQUENCES]; i++) {
        s->ids[i] = i >= 10 && i < 13 ? s->ids[i - 3] : 5 + i * 37 % 60;
        s->types[i] = info.types > 1 && i % 17 > 9;
        if (i % 6 == 4 && info.task == RETORT_TASK_FILL) s->ids[i] = tokens.ids[1];
    }
    retort_tokens_free(&tokens);
    s->batch = (retort_batch){s->ids, info.types > 1 ? s->types : NULL, offsets, SEQUENCES};
}

static retort_session *open(retort_model *model, const char *provider, int64_t chunk_tokens) {
    retort_session *session = NULL;
    retort_error err = {0};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.provider = provider;
    options.threads = 2;
    options.chunk_tokens = chunk_tokens;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return session;
}

static void compare(const char *name, const char *engine, retort_session *own, retort_session *other,
                    const retort_batch *batch) {
    retort_matrix a, b;
    retort_error err = {0};
    double most = 0;
    if (retort_run(own, batch, &a, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    if (retort_run(other, batch, &b, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    if (a.rows != b.rows || a.columns != b.columns) {
        fail_msg("%s: %s gives [%zu, %zu], native [%zu, %zu]", name, engine, b.rows, b.columns, a.rows,
                 a.columns);
    }
    for (size_t i = 0; i < a.rows * a.columns; i++) {
        most = fmax(most, fabs((double)a.data[i] - (double)b.data[i]));
    }
    if (!(most <= 1e-4)) fail_msg("%s: %s differs by %g", name, engine, most);
}

/* Whole, cut into chunks of about 8 tokens, smaller and larger batches, and an empty one. */
static void check_model(const char *name, int level, const char *engine) {
    sample s;
    retort_model *model = import(name, level);
    make_sample(&s, model);
    retort_session *own = open(model, "native", 0), *other = open(model, engine, 0);
    retort_session *cut = open(model, engine, 8);
    compare(name, engine, own, other, &s.batch);
    compare(name, engine, own, cut, &s.batch);
    s.batch.n = 1;
    compare(name, engine, own, other, &s.batch);
    s.batch.n = 0;
    compare(name, engine, own, other, &s.batch);
    s.batch.n = SEQUENCES;
    compare(name, engine, own, other, &s.batch);
    retort_session_close(cut);
    retort_session_close(other);
    retort_session_close(own);
    retort_model_free(model);
}

static void check_engine(const char *engine) {
    need(engine);
    for (size_t i = 0; i < name_count; i++) check_model(names[i], 3, engine);
    check_model("bert-fill", 0, engine);
    check_model("distilbert-tag", 2, engine);
    check_model("modernbert-tag", 0, engine);
    check_model("modernbert-fill", 2, engine);
    check_model("deberta-fill", 0, engine);
    check_model("mpnet-fill", 2, engine);
}

static void onnxruntime_gives_our_rows(void **state) {
    (void)state;
    check_engine("onnxruntime");
}

static void openvino_inside_onnxruntime_gives_our_rows(void **state) {
    (void)state;
    check_engine("onnxruntime:openvino");
}

static void openvino_gives_our_rows(void **state) {
    (void)state;
    check_engine("openvino");
}

/* All engines at once, their runs interleaved. */
static void engines_live_together(void **state) {
    (void)state;
    sample s;
    retort_session *sessions[ENGINES + 1];
    for (size_t i = 0; i < ENGINES; i++) need(engines[i]);
    retort_model *model = import("bert-classify", 3);
    make_sample(&s, model);
    sessions[ENGINES] = open(model, "native", 0);
    for (size_t i = 0; i < ENGINES; i++) sessions[i] = open(model, engines[i], 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ENGINES; i++)
            compare("bert-classify", engines[i], sessions[ENGINES], sessions[i], &s.batch);
    }
    for (size_t i = 0; i <= ENGINES; i++) retort_session_close(sessions[i]);
    retort_model_free(model);
}

static void describes_itself(void **state) {
    (void)state;
    retort_session_info info = {.size = sizeof info};
    retort_step_info step = {.size = sizeof step};
    need("onnxruntime");
    retort_model *model = import("distilbert-classify", 3);
    retort_session *session = open(model, "onnxruntime", 0);
    assert_int_equal(retort_session_describe(session, &info), RETORT_OK);
    assert_string_equal(info.provider, "onnxruntime");
    assert_true(info.threads == 2 && info.steps == 0 && info.version[0] == '1');
    assert_int_equal(retort_session_step(session, 0, &step), RETORT_ARGUMENT);
    retort_session_close(session);
    retort_model_free(model);
}

static void refuses(retort_model *model, const retort_session_options *options, retort_status expected,
                    const char *words) {
    retort_session *session = NULL;
    retort_error err = {0};
    assert_int_equal(retort_session_open(&session, model, options, &err), expected);
    assert_null(session);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
}

static void options_of_other_engines(void **state) {
    (void)state;
    retort_model *model = import("distilbert-classify", 3);
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.onnx = "model.onnx";
    refuses(model, &options, RETORT_UNSUPPORTED, "'onnx' is for other engines only");
    options.onnx = NULL;
    options.graph_level = "all";
    refuses(model, &options, RETORT_UNSUPPORTED, "'graph_level' is for other engines only");
    options.graph_level = NULL;
    options.provider = "nobody";
    refuses(model, &options, RETORT_PROVIDER, "native, onnxruntime");
    retort_model_free(model);
}

static void bad_options_and_files(void **state) {
    (void)state;
    need("onnxruntime");
    need("openvino");
    retort_model *model = import("distilbert-classify", 3);
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.provider = "onnxruntime";
    options.graph_level = "most";
    refuses(model, &options, RETORT_ARGUMENT, "'most'");
    options.graph_level = NULL;
    options.isa = "ref";
    refuses(model, &options, RETORT_UNSUPPORTED, "--isa (in C: options.isa) is for native only");
    options.isa = NULL;
    options.unpack = RETORT_UNPACK_NEVER;
    refuses(model, &options, RETORT_UNSUPPORTED, "--unpack (in C: options.unpack) is for native only");
    options.unpack = RETORT_UNPACK_AUTO;
    options.profile = true;
    refuses(model, &options, RETORT_UNSUPPORTED, "--profile (in C: options.profile) is for native only");
    options.profile = false;
    options.onnx = "/nonexistent.onnx";
    refuses(model, &options, RETORT_PROVIDER, "/nonexistent.onnx");
    options.onnx = "/proc/self/exe"; /* a file that is no ONNX */
    refuses(model, &options, RETORT_PROVIDER, "/proc/self/exe");
    options.provider = "openvino";
    refuses(model, &options, RETORT_PROVIDER, "/proc/self/exe");
    options.onnx = "/nonexistent.onnx";
    refuses(model, &options, RETORT_PROVIDER, "/nonexistent.onnx");
    options.onnx = NULL;
    options.graph_level = "basic";
    refuses(model, &options, RETORT_UNSUPPORTED, "no graph levels");
    retort_model_free(model);
}

static void every_provider_is_listed(void **state) {
    (void)state;
    size_t count = 0;
    retort_provider_info info = {.size = sizeof info};
    for (; retort_provider(count, &info) == RETORT_OK; count++) {
        assert_true(info.name != NULL && info.help != NULL);
        assert_true(info.found == (info.reason[0] == '\0') && info.found == (info.version[0] != '\0'));
    }
    assert_int_equal(count, 6);
    assert_int_equal(retort_provider(0, NULL), RETORT_ARGUMENT);
    info.size = 1;
    assert_int_equal(retort_provider(0, &info), RETORT_ARGUMENT);
}

/* An engine's library may end a process that a sanitizer watches (it opens others with RTLD_DEEPBIND). */
static void hide_engines(void) {
    const char *sanitizer = getenv("RETORT_SANITIZER");
    if (sanitizer == NULL || strcmp(sanitizer, "none") == 0) return;
    setenv("XDG_CACHE_HOME", "/nonexistent", 1);
    unsetenv("RETORT_PROVIDERS");
}

int main(void) {
    hide_engines();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_other_engines),
        cmocka_unit_test(every_provider_is_listed),
        cmocka_unit_test(onnxruntime_gives_our_rows),
        cmocka_unit_test(openvino_inside_onnxruntime_gives_our_rows),
        cmocka_unit_test(openvino_gives_our_rows),
        cmocka_unit_test(engines_live_together),
        cmocka_unit_test(describes_itself),
        cmocka_unit_test(bad_options_and_files),
    };
    return cmocka_run_group_tests(tests, find_checkpoints, NULL);
}
