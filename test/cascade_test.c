/* SPDX-License-Identifier: Apache-2.0
 * Cascades: exact bounds, thresholds that hold what they promise, the linear stage, and a file that is a model like any
 * other. */
#include "base/binomial.h"
#include "base/random.h"
#include "cascade/fit.h"
#include "cascade/thresholds.h"
#include "model/cascade.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], saved[96], lines[96], few[96];

enum { TEXTS = 1200 };
static void write_texts(const char *path, size_t n) {
    static const char *const words[] = {"good",  "bad", "film", "the", "not",
                                        "great", "act", "very", "a",   "is"};
    FILE *file = fopen(path, "w");
    uint64_t state = 7;
    assert_non_null(file);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < 3 + i % 5; k++) fprintf(file, "%s ", words[rt_random(&state) % 10]);
        fprintf(file, "\n");
    }
    fclose(file);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/retort-cascade-test-XXXXXX");
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(saved, sizeof saved, "%s/saved.retort", folder);
    snprintf(lines, sizeof lines, "%s/lines.txt", folder);
    snprintf(few, sizeof few, "%s/few.txt", folder);
    write_texts(lines, TEXTS);
    write_texts(few, 300);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(saved);
    unlink(lines);
    unlink(few);
    return rmdir(folder);
}

/* ---- Bounds ---- */

/* The numbers of answers that may differ, as tables of the binomial have them. */
static void test_bounds(void **state) {
    (void)state;
    static const struct {
        double share;
        uint64_t n, allowed;
    } rows[] = {{0.01, 300, 0},   {0.01, 1000, 4}, {0.01, 3000, 20},
                {0.01, 5000, 38}, {0.005, 600, 0}, {0.005, 3000, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(rt_binomial_upper(rows[i].allowed, rows[i].n, 0.95) <= rows[i].share);
        assert_true(rt_binomial_upper(rows[i].allowed + 1, rows[i].n, 0.95) > rows[i].share);
    }
    assert_int_equal(rt_binomial_fewest(0.01, 0.95), 299);
    assert_true(fabs(rt_binomial_upper(0, 300, 0.95) - (1 - pow(0.05, 1.0 / 300))) < 1e-12);
    assert_true(fabs(rt_binomial_upper(5, 20, 0.975) - 0.4910459) < 1e-6); /* R: binom.test(5, 20) */
    assert_true(fabs(rt_binomial_lower(5, 20, 0.975) - 0.0865715) < 1e-6);
    assert_true(rt_binomial_lower(0, 10, 0.95) == 0 && rt_binomial_upper(10, 10, 0.95) == 1);
    double low, high;
    retort_binomial(3, 2, 0.95, &low, &high);
    assert_true(isnan(low) && isnan(high));
    retort_binomial(0, 0, 0.95, NULL, &high);
    assert_true(isnan(high));
}

/* ---- Thresholds ---- */

/* One stage, sure with probability u of texts that it gets wrong with a probability that falls with u. */
enum { ROWS = 1500 };
static double risk_at(double u) {
    return 0.2 * (1 - u);
}
typedef struct made {
    double sure[ROWS];
    int32_t label[ROWS], full[ROWS];
} made;
static rt_verdicts make(made *out, uint64_t *state) {
    for (size_t i = 0; i < ROWS; i++) {
        double u = (double)(rt_random(state) >> 11) * 0x1p-53, v = (double)(rt_random(state) >> 11) * 0x1p-53;
        out->sure[i] = u;
        out->full[i] = 0;
        out->label[i] = v < risk_at(u);
    }
    return (rt_verdicts){
        .rows = ROWS, .stages = 1, .sure = {out->sure}, .label = {out->label}, .full = out->full};
}
/* P(accepted and wrong) with this threshold: the integral of the risk. */
static double true_risk(double threshold) {
    return threshold >= 1 ? 0 : 0.1 * (1 - threshold) * (1 - threshold);
}

/* What selects may not report: the laxest threshold whose share on the same texts is within epsilon. */
static double peek(const rt_path *path, const rt_verdicts *v, double epsilon) {
    double best = RT_NEVER;
    for (size_t i = 0; i < path->count; i++) {
        if ((double)rt_cascade_outcome(v, &path->steps[i]).differ <= epsilon * (double)v->rows)
            best = path->steps[i].of[0];
    }
    return best;
}

static void test_thresholds_hold_their_promise(void **state) {
    (void)state;
    enum { TRIALS = 1000 };
    static const double cost[] = {0.1, 1};
    static made a, b;
    uint64_t seed = 1;
    double epsilon = 0.02, best;
    size_t broken = 0, peeked = 0, used = 0;
    for (int i = 0; i < TRIALS; i++) {
        rt_verdicts order = make(&a, &seed), calibrate = make(&b, &seed);
        rt_path path;
        assert_int_equal(rt_path_lay(&path, &order, cost, 1, epsilon, &best, NULL), RETORT_OK);
        double threshold = rt_path_test(&path, &calibrate, epsilon, 0.95).of[0];
        broken += true_risk(threshold) > epsilon;
        used += threshold < 1;
        peeked += true_risk(peek(&path, &calibrate, epsilon)) > epsilon;
        rt_path_free(&path);
    }
    assert_true(used == TRIALS);
    /* 5 % of 1,000, and three standard errors. */
    if (broken > 71) fail_msg("%zu of %d calibrations exceed epsilon", broken, TRIALS);
    assert_true(broken > 10); /* nor are they far too strict */
    if (peeked < 200) fail_msg("only %zu of %d that peek exceed epsilon: the test is blind", peeked, TRIALS);
}

/* A stage that is always wrong is never loosened, one that is right is, and one that costs as much as the full model does not
 * pay. */
static void test_stages_that_do_not_pay(void **state) {
    (void)state;
    static made a;
    static const double cheap[] = {0.1, 1}, dear[] = {1, 1};
    uint64_t seed = 3;
    double best;
    rt_path path;
    rt_verdicts v = make(&a, &seed);
    for (size_t i = 0; i < ROWS; i++) a.label[i] = 1;
    assert_int_equal(rt_path_lay(&path, &v, cheap, 1, 0.01, &best, NULL), RETORT_OK);
    assert_true(rt_path_test(&path, &v, 0.01, 0.95).of[0] > 0.9);
    assert_true(best > 0.9 * ROWS);
    rt_path_free(&path);
    for (size_t i = 0; i < ROWS; i++) a.label[i] = 0;
    assert_int_equal(rt_path_lay(&path, &v, cheap, 1, 0.01, &best, NULL), RETORT_OK);
    assert_true(rt_path_test(&path, &v, 0.01, 0.95).of[0] == 0);
    assert_true(fabs(best - 0.1 * ROWS) < 1e-9);
    rt_path_free(&path);
    assert_int_equal(rt_path_lay(&path, &v, dear, 1, 0.01, &best, NULL), RETORT_OK);
    assert_true(best >= ROWS - 1e-9);
    rt_path_free(&path);
}

/* ---- The linear stage ---- */

/* The label is whether the bigram (5, 6) is there: unigrams alone cannot tell. */
static void test_linear_stage_learns_bigrams(void **state) {
    (void)state;
    enum { N = 600, LENGTH = 6 };
    static int32_t ids[N * LENGTH], offsets[N + 1];
    static float targets[N * 2];
    uint64_t seed = 5;
    for (int i = 0; i < N; i++) {
        int32_t *row = ids + (size_t)i * LENGTH;
        for (int k = 0; k < LENGTH; k++) row[k] = (int32_t)(10 + rt_random(&seed) % 20);
        bool there = i % 2 == 0;
        row[1] = there ? 5 : 6; /* both ids are always there */
        row[2] = there ? 6 : 5;
        offsets[i + 1] = (i + 1) * LENGTH;
        targets[2 * i + there] = 1;
    }
    rt_arena arena = {0};
    rt_ngrams model, again;
    const rt_fit fit = {.ids = ids, .offsets = offsets, .n = N, .labels = 2, .targets = targets, .seed = 1};
    assert_int_equal(rt_fit_ngrams(&model, &arena, &fit, NULL), RETORT_OK);
    assert_int_equal(rt_fit_ngrams(&again, &arena, &fit, NULL), RETORT_OK);
    assert_memory_equal(model.weights, again.weights, model.buckets * 2);
    for (int i = 0; i < N; i++) {
        int32_t sums[2];
        float logits[2];
        rt_ngrams_run(&model, ids + (size_t)i * LENGTH, LENGTH, sums, logits);
        assert_int_equal(logits[1] > logits[0], i % 2 == 0);
    }
    rt_arena_free(&arena);
}

/* ---- Whole cascades ---- */

static retort_model *import_golden(const char *name) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_model *model = NULL;
    retort_error err = {0};
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    if (retort_model_import(&model, path, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

static retort_dataset *open_lines(const char *path) {
    retort_dataset *data = NULL;
    retort_error err = {0};
    if (retort_dataset_open(&data, path, NULL, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return data;
}

static retort_model *quantized(const retort_model *model) {
    retort_model *out = NULL;
    retort_error err = {0};
    if (retort_model_quantize(&out, model, NULL, &err) != RETORT_OK) fail_msg("%s", err.text);
    return out;
}

/* Scores of a few texts. */
static void classify(float out[9], retort_model *model) {
    static const retort_text texts[] = {
        {"good film", 9, NULL, 0}, {"not very bad", 12, NULL, 0}, {"the", 3, NULL, 0}};
    retort_session *session = NULL;
    retort_error err = {0};
    if (retort_session_open(&session, model, NULL, &err) != RETORT_OK ||
        retort_classify(session, texts, 3, out, NULL, 9, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    retort_session_close(session);
}

/* A student that is the full model answers everything, shares its tensors in the file, and comes back as it was. */
static void test_cascade_is_a_model(void **state) {
    (void)state;
    retort_model *full = import_golden("distilbert-classify"), *twin = import_golden("distilbert-classify"),
                 *cascade = NULL, *loaded = NULL;
    retort_dataset *data = open_lines(lines);
    retort_cascade_options options = RETORT_CASCADE_OPTIONS;
    retort_error err = {0};
    float expected[9], found[9];
    options.data = data;
    options.students = &twin;
    options.student_count = 1;
    options.linear = true;
    if (retort_cascade(&cascade, full, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_cascade_info info = {.size = sizeof info}, other = {.size = sizeof other};
    assert_int_equal(retort_model_cascade(cascade, &info), RETORT_OK);
    assert_true(info.calibrated > 299 && info.tested > 0 && info.trained > 0);
    assert_int_equal(info.trained + info.ordered + info.calibrated + info.tested, TEXTS);
    if (retort_model_save(cascade, saved, &err) != RETORT_OK ||
        retort_model_load(&loaded, saved, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(retort_model_cascade(loaded, &other), RETORT_OK);
    assert_memory_equal(&info, &other, sizeof info);
    retort_stage_info stage = {.size = sizeof stage}, same = {.size = sizeof same};
    double shares = 0;
    for (size_t i = 0; i < info.stages; i++) {
        assert_int_equal(retort_model_stage(cascade, i, &stage), RETORT_OK);
        assert_int_equal(retort_model_stage(loaded, i, &same), RETORT_OK);
        assert_true(stage.kind == same.kind && stage.threshold == same.threshold &&
                    stage.share == same.share);
        shares += stage.share;
    }
    assert_true(fabs(shares - 1) < 1e-9);
    assert_int_equal(retort_model_stage(cascade, info.stages, &stage), RETORT_ARGUMENT);
    classify(expected, cascade);
    classify(found, loaded);
    assert_memory_equal(expected, found, sizeof found);
    retort_model_free(full); /* the cascade has what it needs */
    classify(found, cascade);
    assert_memory_equal(expected, found, sizeof found);
    retort_model_free(loaded);
    retort_model_free(cascade);
    retort_model_free(twin);
    retort_dataset_free(data);
}

/* Makes a cascade by hand: every text of which the stage is sure to 0 is its own. */
static retort_model *by_hand(const retort_model *full, retort_model *student, double threshold) {
    rt_cascade *cascade = rt_calloc(1, sizeof *cascade);
    retort_model *out = NULL;
    assert_non_null(cascade);
    cascade->count = 1;
    cascade->stages[0] =
        (rt_stage){.model = retort_model_retain(student), .threshold = threshold, .share = 1};
    assert_int_equal(rt_cascade_model(&out, full, cascade, NULL), RETORT_OK);
    return out;
}

static void test_each_stage_answers_what_it_is_sure_of(void **state) {
    (void)state;
    retort_model *full = import_golden("distilbert-classify"), *student = quantized(full), *loaded = NULL;
    float by_full[9], by_student[9], found[9];
    retort_error err = {0};
    classify(by_full, full);
    classify(by_student, student);
    assert_true(memcmp(by_full, by_student, sizeof by_full) != 0);
    double sure[3];
    for (int i = 0; i < 3; i++)
        sure[i] = fmax(fmax((double)by_student[3 * i], (double)by_student[3 * i + 1]),
                       (double)by_student[3 * i + 2]);
    double least = fmin(fmin(sure[0], sure[1]), sure[2]);
    for (int kind = 0; kind < 3; kind++) {
        double threshold = kind == 0 ? 0 : kind == 1 ? 1 : least + 1e-5;
        retort_model *cascade = by_hand(full, student, threshold);
        if (retort_model_save(cascade, saved, &err) != RETORT_OK ||
            retort_model_load(&loaded, saved, &err) != RETORT_OK)
            fail_msg("%s", err.text);
        classify(found, loaded);
        for (int i = 0; i < 3; i++) {
            const float *expected = sure[i] >= threshold ? by_student : by_full;
            assert_memory_equal(found + 3 * i, expected + 3 * i, 3 * sizeof *found);
        }
        retort_model_free(loaded);
        retort_model_free(cascade);
    }
    retort_model_free(student);
    retort_model_free(full);
}

/* What a stage has in common with the full model is stored once. */
static void test_equal_tensors_are_stored_once(void **state) {
    (void)state;
    retort_model *full = import_golden("distilbert-classify"), *twin = import_golden("distilbert-classify"),
                 *loaded;
    retort_error err = {0};
    retort_model *cascade = by_hand(full, twin, 0.5);
    rt_tensors file = {0};
    assert_int_equal(retort_model_save(cascade, saved, &err), RETORT_OK);
    assert_int_equal(rt_tensors_open(&file, saved, &err), RETORT_OK);
    for (size_t i = 0; i < file.count; i++) assert_true(strncmp(file.items[i].name, "stage.", 6) != 0);
    rt_tensors_close(&file);
    assert_int_equal(retort_model_load(&loaded, saved, &err), RETORT_OK);
    retort_model_free(loaded);
    retort_model_free(cascade);
    retort_model_free(twin);
    retort_model_free(full);
}

static void refused(const char *full_name, const char *student_name, const char *expected) {
    retort_model *full = import_golden(full_name),
                 *student = student_name != NULL ? import_golden(student_name) : NULL, *out = NULL;
    retort_dataset *data = open_lines(lines);
    retort_cascade_options options = RETORT_CASCADE_OPTIONS;
    retort_error err = {0};
    options.data = data;
    options.linear = student == NULL;
    options.students = &student;
    options.student_count = student != NULL;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    if (strstr(err.text, expected) == NULL) fail_msg("'%s', expected '%s'", err.text, expected);
    retort_dataset_free(data);
    retort_model_free(student);
    retort_model_free(full);
}

static void test_what_does_not_fit(void **state) {
    (void)state;
    refused("distilbert-tag", NULL,
            "the full model: a cascade needs a classifier that gives each text one label");
    refused("distilbert-multilabel", NULL, "one label");
    refused("distilbert-regression", NULL, "one label");
    refused("distilbert-embed", NULL, "one label");
    refused("distilbert-classify", "distilbert-multilabel", "student 1: ");
    refused("distilbert-classify", "roberta-classify", "student 1: ");
}

static void test_bad_options(void **state) {
    (void)state;
    retort_model *full = import_golden("distilbert-classify"), *out = NULL, *none = NULL;
    retort_dataset *data = open_lines(few);
    retort_cascade_options options = RETORT_CASCADE_OPTIONS;
    retort_error err = {0};
    options.data = data;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT); /* no stage */
    options.linear = true;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "takes 299 without one that differs"));
    options.epsilon = -1;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    options.epsilon = 0.7;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    options.epsilon = NAN;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    options.epsilon = 0;
    options.confidence = 1;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    options.confidence = 0;
    options.students = &none;
    options.student_count = 1;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    options.size--;
    assert_int_equal(retort_cascade(&out, full, &options, &err), RETORT_ARGUMENT);
    assert_null(out);
    retort_dataset_free(data);
    retort_model_free(full);
}

static void test_verbs_refuse_a_cascade(void **state) {
    (void)state;
    retort_model *full = import_golden("distilbert-classify"), *student = quantized(full), *out = NULL;
    retort_model *cascade = by_hand(full, student, 0.5);
    retort_dataset *data = open_lines(few);
    retort_train_options train = RETORT_TRAIN_OPTIONS;
    retort_cascade_options again = RETORT_CASCADE_OPTIONS;
    retort_error err = {0};
    train.data = again.data = data;
    again.linear = true;
    assert_int_equal(retort_model_quantize(&out, cascade, NULL, &err), RETORT_UNSUPPORTED);
    assert_non_null(strstr(err.text, "quantize: the model is a cascade of 2 stages"));
    assert_int_equal(retort_model_dequantize(&out, cascade, &err), RETORT_UNSUPPORTED);
    assert_int_equal(retort_model_optimize(&out, cascade, NULL, &err), RETORT_UNSUPPORTED);
    assert_int_equal(retort_model_export(cascade, saved, NULL, NULL, &err), RETORT_UNSUPPORTED);
    assert_int_equal(retort_train(&out, cascade, &train, NULL, &err), RETORT_UNSUPPORTED);
    assert_int_equal(retort_cascade(&out, cascade, &again, &err), RETORT_ARGUMENT);
    assert_null(out);
    retort_dataset_free(data);
    retort_model_free(cascade);
    retort_model_free(student);
    retort_model_free(full);
}

/* Ids and lengths are checked before a stage that has no limits of its own sees them. */
static void test_bad_batches(void **state) {
    (void)state;
    static const int32_t ids[] = {2, 1000000, 3}, good[] = {2, 5, 3}, offsets[] = {0, 3}, wrong[] = {0, -3};
    retort_model *full = import_golden("distilbert-classify"), *student = quantized(full);
    retort_model *cascade = by_hand(full, student, 0);
    retort_session *session = NULL;
    retort_error err = {0};
    retort_matrix out;
    assert_int_equal(retort_session_open(&session, cascade, NULL, &err), RETORT_OK);
    assert_int_equal(retort_run(session, &(retort_batch){.ids = ids, .offsets = offsets, .n = 1}, &out, &err),
                     RETORT_ARGUMENT);
    assert_int_equal(retort_run(session, &(retort_batch){.ids = good, .offsets = wrong, .n = 1}, &out, &err),
                     RETORT_LIMIT);
    assert_int_equal(
        retort_run(session, &(retort_batch){.ids = good, .offsets = offsets, .n = 1}, &out, &err), RETORT_OK);
    assert_int_equal(retort_session_answered_by(session)[0], 0);
    assert_int_equal(
        retort_run(session, &(retort_batch){.ids = good, .offsets = offsets, .n = 0}, &out, &err), RETORT_OK);
    assert_int_equal(out.rows, 0);
    retort_session_close(session);
    retort_model_free(cascade);
    retort_model_free(student);
    retort_model_free(full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_thresholds_hold_their_promise),
        cmocka_unit_test(test_stages_that_do_not_pay),
        cmocka_unit_test(test_linear_stage_learns_bigrams),
        cmocka_unit_test(test_cascade_is_a_model),
        cmocka_unit_test(test_each_stage_answers_what_it_is_sure_of),
        cmocka_unit_test(test_equal_tensors_are_stored_once),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_verbs_refuse_a_cascade),
        cmocka_unit_test(test_bad_batches),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
