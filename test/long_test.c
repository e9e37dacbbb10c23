/* SPDX-License-Identifier: Apache-2.0
 * Models with heads of 64 on long sequences: attention in 8-bit integers, and K and V that are
 * never made. */
#include "quant_models.h"

#include <math.h>

static const char *const names[] = {"distilbert-long", "bert-long"};
enum { NAMES = sizeof names / sizeof *names };

/* 96, 17, 16 and 1 tokens: on both sides of where integers begin. */
static float *run_long(retort_model *model, const char *isa, int threads) {
    enum { COUNT = 96 + 17 + 16 + 1 };
    static const int32_t offsets[] = {0, 96, 113, 129, 130};
    int32_t ids[COUNT];
    retort_session *session = NULL;
    retort_matrix out;
    retort_error err = {0};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.isa = isa;
    options.threads = threads;
    for (int32_t i = 0; i < COUNT; i++) ids[i] = 5 + i * 37 % 90;
    const retort_batch batch = {.ids = ids, .offsets = offsets, .n = 4};
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    if (retort_run(session, &batch, &out, &err) != RETORT_OK) fail_msg("%s", err.text);
    assert_true(out.rows == 4 && out.columns == 3);
    float *copy = malloc(12 * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, out.data, 12 * sizeof *copy);
    retort_session_close(session);
    return copy;
}

static double farthest(const float *a, const float *b) {
    double most = 0;
    for (int i = 0; i < 12; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static size_t count_nodes(const retort_model *model, bool shared, bool integers) {
    size_t count = 0;
    for (size_t i = 0; i < model->graph.node_count; i++) {
        const rt_attrs *attrs = &model->graph.nodes[i].attrs;
        count += (!shared || attrs->shared) && (!integers || attrs->integers);
    }
    return count;
}

static retort_model *without_skipping(const char *name) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT"), *left_out = "skip-keys";
    retort_model *model = NULL;
    retort_error err = {0};
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    options.without = &left_out;
    options.without_count = 1;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root != NULL ? root : ".", name);
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return model;
}

/* The same answers with and without, in float and in integers. */
static void test_skipped_keys(void **unused) {
    (void)unused;
    for (size_t i = 0; i < NAMES; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32), *plain = without_skipping(names[i]);
        assert_int_equal(count_nodes(model, true, false), 1);
        assert_int_equal(count_nodes(plain, true, false), 0);
        float *found = run_long(model, NULL, 1), *wanted = run_long(plain, NULL, 1);
        if (!(farthest(found, wanted) < 1e-5)) fail_msg("%s: %g", names[i], farthest(found, wanted));
        assert_memory_not_equal(found, wanted, 12 * sizeof *found); /* another order of sums */
        free(found);
        free(wanted);
        retort_model_free(model);
        retort_model_free(plain);
    }
}

static void check_everywhere(retort_model *model, const char *name) {
    size_t tiers;
    const rt_isa *isa = rt_isa_list(&tiers);
    float *wanted = run_long(model, "ref", 1);
    for (size_t t = 0; t < tiers; t++) {
        if (rt_isa_select(isa[t].name, &(uint32_t){0}, NULL, NULL) != RETORT_OK) continue;
        for (int threads = 1; threads <= 3; threads++) {
            float *found = run_long(model, isa[t].name, threads);
            if (memcmp(wanted, found, 12 * sizeof *found) != 0) {
                fail_msg("%s: other bits on %s with %d threads", name, isa[t].name, threads);
            }
            free(found);
        }
    }
    free(wanted);
}

/* What was measured, with logits of about 0.5, is at most 0.019 with 8 bits and 0.15 with 4. */
static void test_integers(void **unused) {
    (void)unused;
    static const struct {
        const char *recipe;
        double bound;
    } recipes[] = {{"int8", 0.03}, {"int4", 0.25}};
    for (size_t i = 0; i < NAMES; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32);
        float *wanted = run_long(model, NULL, 1);
        check_everywhere(model, names[i]);
        for (size_t r = 0; r < 2; r++) {
            retort_model *integer = quantized(model, recipes[r].recipe, 0, 64);
            assert_int_equal(count_nodes(integer, false, true), 1);
            float *found = run_long(integer, NULL, 1);
            double d = farthest(found, wanted);
            print_message("# %s %s: %.4f\n", names[i], recipes[r].recipe, d);
            if (!(d < recipes[r].bound)) fail_msg("%s: %s: %g", names[i], recipes[r].recipe, d);
            check_everywhere(integer, names[i]);
            check_round_trip(integer);
            free(found);
            retort_model_free(integer);
        }
        free(wanted);
        retort_model_free(model);
    }
}

/* Alone, in a float model, integer attention costs a tenth of what integer matrices do. */
static void test_integers_alone(void **unused) {
    (void)unused;
    for (size_t n = 0; n < NAMES; n++) {
        retort_model *model = golden(names[n], 3, RETORT_F32);
        float *wanted = run_long(model, NULL, 1);
        for (size_t i = 0; i < model->graph.node_count; i++) {
            rt_node *node = &model->graph.nodes[i];
            node->attrs.integers = node->op == RT_OP_ATTENTION && !node->attrs.shared;
        }
        float *found = run_long(model, NULL, 1);
        print_message("# %s attention alone: %.2e\n", names[n], farthest(found, wanted));
        assert_memory_not_equal(found, wanted, 6 * sizeof *found);     /* 96 and 17 tokens */
        assert_memory_equal(found + 6, wanted + 6, 6 * sizeof *found); /* 16 and 1 */
        assert_true(farthest(found, wanted) < 4e-3);
        free(wanted);
        free(found);
        retort_model_free(model);
    }
}

static void test_spoilt_files(void **unused) {
    (void)unused;
    retort_error err = {0};
    retort_model *model = golden("distilbert-long", 3, RETORT_F32),
                 *integer = quantized(model, "int8", 0, 64);
    if (retort_model_save(integer, saved, &err) != RETORT_OK) fail_msg("%s", err.text);
    check_spoilt("parts=2 select=first shared=1", "parts=2 select=first shared=2", "attribute=value");
    check_spoilt("parts=2 select=first shared=1", "parts=1 select=first shared=1", "shared: expected q");
    check_spoilt("select=first shared=1", "select=mask  shared=1", "shared: expected q");
    check_spoilt("parts=1 int16=1", "parts=4 int16=1", "expected 1 to 3");
    check_spoilt("keys.weight s8 p16_s8 [64, 256]", "keys.weight s8 p16_s8 [64, 250]", "whole panels");
    check_spoilt("keys.weight s8 p16_s8 [64, 256]", "keys.weight s8 p16_s8 [32, 256]", "[…, k] and [k, n]");
    retort_model_free(integer);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skipped_keys),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_integers_alone),
        cmocka_unit_test(test_spoilt_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
