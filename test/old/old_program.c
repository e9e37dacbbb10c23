/* SPDX-License-Identifier: Apache-2.0
 * A program that was built with an old header and runs with today's shared library: what its structs do not have takes
 * its default, and is not written. */
#include "retort.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Memory behind a struct, as the caller has it on its stack. */
enum { BEHIND = 256, CANARY = 0x5a };

static void assert_untouched(const unsigned char *behind) {
    for (size_t i = 0; i < BEHIND; i++) assert_int_equal(behind[i], CANARY);
}

/* An old struct, and as many bytes behind it as a new one could have. */
#define GUARDED(type)                                                                                        \
    struct {                                                                                                 \
        type it;                                                                                             \
        unsigned char behind[BEHIND];                                                                        \
    }

static retort_model *old_import(void) {
    GUARDED(retort_import_options) options = {.it = RETORT_IMPORT_OPTIONS};
    char path[4096];
    retort_error err = {0};
    retort_model *model = NULL;
    memset(options.behind, CANARY, sizeof options.behind); /* no pointers and no counts */
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/bert-classify", getenv("RETORT_ROOT"));
    if (retort_model_import(&model, path, &options.it, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

static retort_session *old_session(retort_model *model) {
    GUARDED(retort_session_options) options = {.it = RETORT_SESSION_OPTIONS};
    retort_error err = {0};
    retort_session *session = NULL;
    memset(options.behind, CANARY, sizeof options.behind);
    options.it.threads = 1;
    if (retort_session_open(&session, model, &options.it, &err) != RETORT_OK) fail_msg("%s", err.text);
    return session;
}

static void test_options(void **unused) {
    (void)unused;
    const retort_text text = {.text = "a good film", .length = 11};
    float scores[3];
    retort_tokens tokens = {0};
    GUARDED(retort_tokenize_options) tokenize = {.it = {sizeof tokenize.it, -1, false, RETORT_SIDE_MODEL}};
    memset(tokenize.behind, CANARY, sizeof tokenize.behind);
    retort_model *model = old_import();
    retort_session *session = old_session(model);
    assert_int_equal(retort_classify(session, &text, 1, scores, NULL, 3, NULL), RETORT_OK);
    assert_true(fabsf(scores[0] + scores[1] + scores[2] - 1) < 1e-5f);
    assert_int_equal(retort_tokenize(model, &text, &tokenize.it, &tokens, NULL), RETORT_OK);
    assert_true(tokens.count > 2);
    retort_tokens_free(&tokens);
    retort_session_close(session);
    retort_model_free(model);
}

static void test_results(void **unused) {
    (void)unused;
    GUARDED(retort_session_info) info;
    retort_model *model = old_import();
    retort_session *session = old_session(model);
    memset(&info, CANARY, sizeof info);
    info.it.size = sizeof info.it;
    assert_int_equal(retort_session_describe(session, &info.it), RETORT_OK);
    assert_int_equal(info.it.size, sizeof info.it);
    assert_string_equal(info.it.provider, "native");
    assert_int_equal(info.it.threads, 1);
    assert_true(info.it.steps > 2);
    assert_untouched(info.behind);
    retort_session_close(session);
    retort_model_free(model);
}

static void test_evaluation(void **unused) {
    (void)unused;
    char path[] = "/tmp/retort-old-XXXXXX";
    static const char rows[] = "label\tsentence\n0\ta good film\n2\ta bad film\n";
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, rows, sizeof rows - 1) == sizeof rows - 1 && close(file) == 0);
    GUARDED(retort_dataset_options) from = {.it = {.size = sizeof from.it, .label_column = "label"}};
    GUARDED(retort_eval_options) options = {.it = RETORT_EVAL_OPTIONS};
    GUARDED(retort_eval_result) result;
    memset(from.behind, CANARY, sizeof from.behind);
    memset(options.behind, CANARY, sizeof options.behind);
    memset(&result, CANARY, sizeof result);
    result.it.size = sizeof result.it;
    retort_model *model = old_import();
    retort_session *session = old_session(model);
    retort_dataset *data = NULL;
    retort_error err = {0};
    if (retort_dataset_open(&data, path, model, &from.it, &err) != RETORT_OK ||
        retort_eval(session, data, &options.it, &result.it, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_string_equal(result.it.metric, "accuracy");
    assert_int_equal(result.it.n, 2);
    assert_true(isnan(result.it.difference_high));
    assert_untouched(result.behind);
    retort_dataset_free(data);
    retort_session_close(session);
    retort_model_free(model);
    unlink(path);
}

static void test_initialised(void **unused) {
    (void)unused;
    GUARDED(retort_import_options) options;
    GUARDED(retort_session_info) info;
    const retort_import_options wanted = RETORT_IMPORT_OPTIONS;
    memset(&options, CANARY, sizeof options);
    memset(&info, CANARY, sizeof info);
    retort_import_options_init(&options.it, sizeof options.it);
    retort_session_info_init(&info.it, sizeof info.it);
    assert_int_equal(options.it.size, sizeof options.it);
    assert_int_equal(options.it.level, wanted.level);
    assert_null(options.it.tokenizer);
    assert_null(options.it.user);
    assert_untouched(options.behind);
    assert_int_equal(info.it.size, sizeof info.it);
    assert_null(info.it.provider);
    assert_untouched(info.behind);
}

static void refused(retort_model *model, size_t size, const char *why) {
    GUARDED(retort_session_options) options = {.it = RETORT_SESSION_OPTIONS};
    retort_error err = {0};
    retort_session *session = NULL;
    options.it.size = size;
    assert_int_equal(retort_session_open(&session, model, &options.it, &err), RETORT_ARGUMENT);
    if (strstr(err.text, why) == NULL) fail_msg("expected \"%s\", found \"%s\"", why, err.text);
    assert_null(session);
}

/* A program of tomorrow, and one that forgot to set the size. */
static void test_refused(void **unused) {
    (void)unused;
    retort_model *model = old_import();
    GUARDED(retort_session_info) info = {.it = {.size = sizeof info}};
    retort_session *session = old_session(model);
    refused(model, 4096, "retort_session_options has 4096 bytes in the program");
    refused(model, 4096, "the program needs a later one");
    refused(model, 0, "retort_session_options.size is 0");
    refused(model, 0, "retort_session_options_init sets it");
    refused(model, sizeof(retort_session_options) + 1, "size is 49");
    assert_int_equal(retort_session_describe(session, &info.it), RETORT_ARGUMENT);
    assert_null(info.it.provider);
    retort_session_close(session);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),     cmocka_unit_test(test_results), cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_initialised), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
