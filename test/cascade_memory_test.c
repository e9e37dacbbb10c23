/* SPDX-License-Identifier: Apache-2.0
 * Cascades when memory runs out: for every n, the n-th allocation fails (and again all from the n-th on), and each piece of
 * work reports an error or manages without, and leaks nothing. */
#include "failing_works.h"
#include "model/cascade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64] = "/tmp/retort-cascade-memory-XXXXXX";
static retort_model *full, *student, *cascade;
static retort_dataset *data;

static retort_status work_make(retort_error *err) {
    retort_cascade_options options = RETORT_CASCADE_OPTIONS;
    retort_model *out = NULL;
    options.data = data;
    options.students = &student;
    options.student_count = 1;
    options.linear = true;
    options.threads = 1;
    options.epsilon = 0.45; /* two texts are enough */
    options.confidence = 0.5;
    retort_status status = retort_cascade(&out, full, &options, err);
    if (status == RETORT_OK && cascade == NULL) {
        cascade = out;
    } else {
        retort_model_free(out);
    }
    return status;
}

static retort_status work_save(retort_error *err) {
    return retort_model_save(cascade, path, err);
}

static retort_status work_load(retort_error *err) {
    retort_model *out = NULL;
    retort_status status = retort_model_load(&out, path, err);
    retort_model_free(out);
    return status;
}

static retort_status work_run(retort_error *err) {
    static const retort_text texts[] = {{"good film", 9, NULL, 0}, {"bad", 3, NULL, 0}};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session = NULL;
    float scores[6];
    options.threads = 1;
    retort_status status = retort_session_open(&session, cascade, &options, err);
    if (status == RETORT_OK) status = retort_classify(session, texts, 2, scores, NULL, 6, err);
    retort_session_close(session);
    return status;
}

static const failing_work works[] = {
    {"make", work_make}, {"save", work_save}, {"load", work_load}, {"run", work_run}};

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    every_allocation_fails(works, sizeof works / sizeof *works, 0);
}

static int open_all(void **state) {
    (void)state;
    char checkpoint[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_error err;
    int file = mkstemp(path);
    FILE *lines = file >= 0 ? fdopen(file, "w") : NULL;
    if (lines == NULL) return -1;
    for (int i = 0; i < 12; i++) fprintf(lines, "%s film %d\n", i % 2 == 0 ? "good" : "bad", i % 5);
    fclose(lines);
    snprintf(checkpoint, sizeof checkpoint, "%s/test/golden/checkpoints/distilbert-classify",
             root != NULL ? root : ".");
    if (retort_model_import(&full, checkpoint, NULL, &err) != RETORT_OK ||
        retort_model_quantize(&student, full, NULL, &err) != RETORT_OK)
        return -1;
    return retort_dataset_open(&data, path, NULL, NULL, &err) == RETORT_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    retort_model_free(cascade);
    retort_model_free(student);
    retort_model_free(full);
    retort_dataset_free(data);
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, open_all, close_all);
}
