/* SPDX-License-Identifier: Apache-2.0
 * Vectors of tokens: what an embedding model pools. */
#include "retort.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { HIDDEN = 16 };
static const char sentence[] = "a b c hello";

static retort_model *import(const char *name, const char *without, const char *recipe) {
    char path[512];
    retort_error err = {0};
    retort_model *model = NULL, *smaller = NULL;
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.without = &without;
    options.without_count = without != NULL;
    const char *root = getenv("RETORT_ROOT");
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root == NULL ? "." : root, name);
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (recipe == NULL) return model;
    retort_quantize_options quantize = RETORT_QUANTIZE_OPTIONS;
    quantize.recipe = recipe;
    if (retort_model_quantize(&smaller, model, &quantize, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_model_free(model);
    return smaller;
}

static retort_session *open_tokens(retort_model *model) {
    retort_error err = {0};
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.token_vectors = true;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return session;
}

/* The rows of the sentence twice, which are the same. */
static retort_matrix run_tokens(retort_session *session, const retort_model *model) {
    retort_error err = {0};
    retort_tokens tokens = {0};
    retort_text text = {.text = sentence, .length = sizeof sentence - 1};
    retort_matrix out;
    assert_int_equal(retort_tokenize(model, &text, NULL, &tokens, &err), RETORT_OK);
    int32_t n = (int32_t)tokens.count, offsets[] = {0, n, 2 * n},
            *ids = malloc(2 * tokens.count * sizeof *ids);
    assert_non_null(ids);
    for (size_t i = 0; i < 2 * tokens.count; i++) ids[i] = tokens.ids[i % tokens.count];
    const retort_batch batch = {.ids = ids, .offsets = offsets, .n = 2};
    if (retort_run(session, &batch, &out, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_int_equal(out.rows, 2 * tokens.count);
    assert_int_equal(out.columns, HIDDEN);
    assert_memory_equal(out.data, out.data + tokens.count * HIDDEN, tokens.count * HIDDEN * sizeof *out.data);
    out.rows = tokens.count;
    retort_tokens_free(&tokens);
    free(ids);
    return out;
}

/* Their mean, of length 1, is the vector of the text. */
static void check_mean(const char *recipe) {
    retort_error err = {0};
    retort_model *model = import("package-mean", NULL, recipe);
    retort_session *session = NULL, *tokens = open_tokens(model);
    retort_text text = {.text = sentence, .length = sizeof sentence - 1};
    float vector[HIDDEN];
    double mean[HIDDEN] = {0}, size = 0;
    assert_int_equal(retort_session_open(&session, model, NULL, &err), RETORT_OK);
    if (retort_embed(session, &text, 1, vector, HIDDEN, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_matrix rows = run_tokens(tokens, model);
    for (size_t i = 0; i < rows.rows * HIDDEN; i++) mean[i % HIDDEN] += (double)rows.data[i];
    for (int k = 0; k < HIDDEN; k++) size += mean[k] * mean[k];
    for (int k = 0; k < HIDDEN; k++) assert_true(fabs(mean[k] / sqrt(size) - (double)vector[k]) < 1e-6);
    assert_int_equal(retort_embed(tokens, &text, 1, vector, HIDDEN, &err), RETORT_ARGUMENT);
    retort_session_close(session);
    retort_session_close(tokens);
    retort_model_free(model);
}

static void are_what_the_mean_is_of(void **state) {
    (void)state;
    check_mean(NULL);
    check_mean("int8");
    check_mean("int4");
}

/* A model that pools the first token computes the others only when it was imported so. */
static void need_every_row(void **state) {
    (void)state;
    retort_error err = {0};
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.token_vectors = true;
    retort_model *model = import("package-dense", NULL, NULL);
    assert_int_equal(retort_session_open(&session, model, &options, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "prune-rows"));
    retort_model_free(model);

    model = import("package-dense", "prune-rows", NULL);
    session = open_tokens(model);
    retort_matrix rows = run_tokens(session, model);
    assert_true(isfinite(rows.data[0]));
    retort_session_close(session);
    retort_model_free(model);

    model = import("bert-classify", NULL, NULL);
    assert_int_equal(retort_session_open(&session, model, &options, &err), RETORT_ARGUMENT);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(are_what_the_mean_is_of),
        cmocka_unit_test(need_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
