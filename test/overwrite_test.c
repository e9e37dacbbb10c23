/* SPDX-License-Identifier: Apache-2.0
 * A model file that is written over while it is mapped: answers may be any, or errors; nothing is read or
 * written out of bounds. */
#include "quant_models.h"

#include <fcntl.h>
#include <unistd.h>

enum { ONES, SEVENS, ZEROS, RANDOM, PATTERNS };

static void fill(int pattern, uint8_t *bytes, size_t size) {
    static const int constants[] = {[ONES] = 0xff, [SEVENS] = 0x7f, [ZEROS] = 0};
    uint64_t state = 1;
    if (pattern != RANDOM) memset(bytes, constants[pattern], size);
    for (size_t i = 0; pattern == RANDOM && i < size; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
        bytes[i] = (uint8_t)(state >> 56);
    }
}

/* In place: the same file, of the same size. */
static void write_over(int pattern, size_t size) {
    uint8_t *bytes = malloc(size);
    int file = open(saved, O_WRONLY);
    assert_true(bytes != NULL && file >= 0);
    fill(pattern, bytes, size);
    assert_int_equal(write(file, bytes, size), (ssize_t)size);
    close(file);
    free(bytes);
}

static void run_texts(retort_session *session, const retort_model *model) {
    sample s;
    retort_matrix out;
    retort_error err = {0};
    retort_tokens tokens = {0};
    const retort_text text = {"a very good film", 16, NULL, 0};
    make_sample(&s);
    retort_status status = retort_run(session, &s.batch, &out, &err);
    assert_true(status == RETORT_OK || err.text[0] != '\0');
    assert_int_equal(retort_tokenize(model, &text, NULL, &tokens, &err), RETORT_OK);
    assert_int_equal(tokens.count, 6);
    retort_tokens_free(&tokens);
}

/* Opened before and after it is written over. */
static void spoil(const retort_model *model, int pattern) {
    retort_model *loaded = NULL;
    retort_session *before = NULL, *after = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_error err = {0};
    options.threads = 2;
    assert_int_equal(retort_model_save(model, saved, &err), RETORT_OK);
    if (retort_model_load(&loaded, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_info info = {.size = sizeof info};
    retort_model_info(loaded, &info);
    assert_int_equal(retort_session_open(&before, loaded, &options, &err), RETORT_OK);
    write_over(pattern, info.file_bytes);
    run_texts(before, loaded);
    if (retort_session_open(&after, loaded, &options, &err) == RETORT_OK) run_texts(after, loaded);
    retort_session_close(before);
    retort_session_close(after);
    retort_model_free(loaded);
}

static void spoil_all(retort_model *model) {
    for (int pattern = 0; pattern < PATTERNS; pattern++) spoil(model, pattern);
    retort_model_free(model);
}

static void test_every_level(void **unused) {
    (void)unused;
    static const char *const names[] = {"bert-classify", "distilbert-tag", "bert-fill", "package-dense"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int level = 0; level <= 3; level++) spoil_all(golden(names[i], level, RETORT_F32));
    }
    spoil_all(golden("bert-wide", 3, RETORT_BF16));
}

static void test_integers(void **unused) {
    (void)unused;
    static const char *const recipes[] = {"int8", "int4"};
    static const char *const names[] = {"bert-wide", "bert-fill"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        retort_model *model = golden(names[n], 3, RETORT_F32);
        for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
            spoil_all(quantized(model, recipes[i], 0, 0));
        retort_model_free(model);
    }
}

/* With outlier columns, gaps and kept rows, whose indices are constants of the file. */
static void test_indices_of_weights(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32);
    spoil_all(learned(model, "ptq+owq", 5));
    spoil_all(learned(model, "owq", 5));
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_level),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_indices_of_weights),
    };
    return cmocka_run_group_tests_name("overwrite", tests, make_folder, remove_folder);
}
