/* SPDX-License-Identifier: Apache-2.0
 * Weights of fewer than 8 bits: the same bits as codes and as int8, one set of int8 panels for all sessions. */
#include "graph/unpacked.h"
#include "quant_models.h"

#include <pthread.h>

enum { RUNS = 3 };

static retort_session *open_session(retort_model *model, const char *isa, int threads, retort_unpack unpack) {
    retort_session *session = NULL;
    retort_error err = {0};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.isa = isa;
    options.threads = threads;
    options.unpack = unpack;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    return session;
}

/* Runs the sample, whose logits stay valid until the next run. */
static retort_matrix run_sample(retort_session *session) {
    sample s;
    retort_matrix out = {0};
    retort_error err = {0};
    make_sample(&s);
    if (retort_run(session, &s.batch, &out, &err) != RETORT_OK) fail_msg("%s", err.text);
    return out;
}

static retort_session_info described(const retort_session *session) {
    retort_session_info info = {.size = sizeof info};
    assert_int_equal(retort_session_describe(session, &info), RETORT_OK);
    return info;
}

/* Every form, run repeatedly, at every tier. */
static void check_forms(retort_model *model) {
    size_t count, tiers;
    float *want = run(model, "ref", 1, &count);
    const rt_isa *isas = rt_isa_list(&tiers);
    for (size_t i = 0; i < tiers; i++) {
        uint32_t features;
        if (rt_isa_select(isas[i].name, &features, NULL, NULL) != RETORT_OK) continue;
        for (retort_unpack unpack = RETORT_UNPACK_AUTO; unpack <= RETORT_UNPACK_NEVER; unpack++) {
            retort_session *session = open_session(model, isas[i].name, 1 + (int)i % 2, unpack);
            for (int r = 0; r < RUNS; r++) {
                retort_matrix out = run_sample(session);
                assert_int_equal(out.rows * out.columns, count);
                assert_memory_equal(out.data, want, count * sizeof *want);
            }
            uint64_t made = described(session).unpacked_bytes;
            if (unpack == RETORT_UNPACK_NEVER) assert_int_equal(made, 0);
            if (unpack == RETORT_UNPACK_ALWAYS) assert_int_equal(made, described(session).int8_bytes);
            retort_session_close(session);
        }
    }
    free(want);
}

static void test_forms_agree(void **unused) {
    static const char *const names[] = {"distilbert-wide", "bert-wide"};
    (void)unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *model = golden(names[i], 3, RETORT_F32);
        retort_model *integer[] = {
            quantized(model, "int4", 4, 32), few_bits(model, 3),           few_bits(model, 2),
            learned(model, "owq", 5),        learned(model, "ptq+owq", 5), learned_bits(model, "owq", 2, 5)};
        for (size_t j = 0; j < sizeof integer / sizeof *integer; j++) {
            check_forms(integer[j]);
            retort_model_free(integer[j]);
        }
        retort_model_free(model);
    }
}

/* Nothing is unpacked for a first answer; the second unpacks, for all sessions; the last to close frees. */
static void test_sessions_share(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32),
                 *integer = quantized(model, "int4", 4, 32);
    retort_session *first = open_session(integer, NULL, 1, RETORT_UNPACK_AUTO);
    run_sample(first);
    assert_true(described(first).int8_bytes > 0);
    assert_int_equal(described(first).unpacked_bytes, 0);
    run_sample(first);
    uint64_t made = described(first).unpacked_bytes;
    assert_non_null(described(first).unpack_reason);
    retort_session *second = open_session(integer, NULL, 1, RETORT_UNPACK_AUTO);
    assert_int_equal(described(second).unpacked_bytes, made);
    retort_session_close(first);
    assert_int_equal(described(second).unpacked_bytes, made);
    retort_session_close(second);
    second = open_session(integer, NULL, 1, RETORT_UNPACK_AUTO);
    assert_int_equal(described(second).unpacked_bytes, 0);
    retort_session_close(second);
    retort_session *floats = open_session(model, NULL, 1, RETORT_UNPACK_ALWAYS);
    assert_int_equal(described(floats).int8_bytes, 0);
    assert_null(described(floats).unpack_reason);
    retort_session_close(floats);
    retort_model_free(integer);
    retort_model_free(model);
}

static void test_unknown_forms_are_refused(void **unused) {
    (void)unused;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32);
    retort_session *session = NULL;
    retort_error err = {0};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.unpack = (retort_unpack)(RETORT_UNPACK_NEVER + 1);
    assert_int_equal(retort_session_open(&session, model, &options, &err), RETORT_ARGUMENT);
    assert_non_null(strstr(err.text, "unpack 3"));
    assert_null(session);
    retort_model_free(model);
}

static void *run_often(void *session) {
    for (int r = 0; r < 20; r++) run_sample(session);
    return NULL;
}

static void test_sessions_unpack_at_once(void **unused) {
    (void)unused;
    enum { SESSIONS = 4 };
    size_t count;
    retort_model *model = golden("distilbert-wide", 3, RETORT_F32), *integer = learned(model, "owq", 5);
    retort_session *sessions[SESSIONS];
    pthread_t threads[SESSIONS];
    for (int i = 0; i < SESSIONS; i++)
        sessions[i] = open_session(integer, NULL, 1 + i % 2, RETORT_UNPACK_AUTO);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, sessions[i]), 0);
    for (int i = 0; i < SESSIONS; i++) pthread_join(threads[i], NULL);
    float *want = run(integer, "ref", 1, &count);
    for (int i = 0; i < SESSIONS; i++) {
        assert_memory_equal(run_sample(sessions[i]).data, want, count * sizeof *want);
        retort_session_close(sessions[i]);
    }
    free(want);
    retort_model_free(integer);
    retort_model_free(model);
}

/* One matrix [8, 32] whose codes are all 1 and whose scales are all 100, and 8 outlier rows. */
typedef struct matrix {
    _Alignas(64) uint8_t codes[2 * 64], groups[2 * RT_PANEL];
    _Alignas(64) int8_t outliers[2 * 8 * RT_PANEL];
    int32_t columns[8];
    _Atomic(uint8_t) states[2];
    _Alignas(64) int8_t out[2 * 8 * RT_PANEL];
    rt_unpacked unpacked;
} matrix;

static void make_matrix(matrix *m) {
    memset(m, 0, sizeof *m);
    memset(m->codes, 0x11, sizeof m->codes);
    memset(m->groups, 100, sizeof m->groups);
    for (int i = 0; i < 8; i++) m->columns[i] = 7 - i;
    m->unpacked = (rt_unpacked){
        .codes = {.k = 8, .n = 32, .b = m->codes, .b_group = m->groups, .group = 8, .out = m->out},
        .outliers = 8,
        .outlier_rows = m->outliers,
        .outlier_columns = m->columns,
        .states = m->states};
}

/* The first use, then the second: whether the columns have int8 panels, and up to where they are alike. */
static const int8_t *use_twice(matrix *m, size_t from, size_t *to) {
    rt_kernels kernels;
    size_t wanted = *to;
    rt_kernels_select(&kernels, rt_cpu_features());
    assert_null(rt_unpacked_panels(&m->unpacked, kernels.widen_s4, from, to));
    *to = wanted;
    return rt_unpacked_panels(&m->unpacked, kernels.widen_s4, from, to);
}

static void test_outliers_are_added(void **unused) {
    (void)unused;
    matrix m;
    size_t to = 32;
    make_matrix(&m);
    m.outliers[0] = 27;                             /* row 0, column 0: added to row 7 */
    m.outliers[8 * RT_PANEL + 64 + 4 * 3 + 1] = -9; /* of the second panel, row 5, column 3: to row 2 */
    const int8_t *panels = use_twice(&m, 0, &to);
    assert_ptr_equal(panels, m.out);
    assert_int_equal(to, 32);
    for (size_t i = 0; i < sizeof m.out; i++) {
        size_t first = 64 + 3, second = 8 * RT_PANEL + 4 * 3 + 2;
        assert_int_equal(panels[i], i == first ? 127 : i == second ? 91 : 100);
    }
    rt_unpacked_set set = {.items = &m.unpacked, .count = 1};
    assert_int_equal(rt_unpacked_made(&set), sizeof m.out);
}

/* No recipe makes an outlier row that exceeds int8 together with the row that it is added to; a file may. */
static void test_outliers_that_do_not_fit(void **unused) {
    (void)unused;
    matrix m;
    size_t to = 32;
    make_matrix(&m);
    m.outliers[0] = 28;
    assert_null(use_twice(&m, 0, &to));
    assert_int_equal(to, 16);
    assert_null(use_twice(&m, 0, &to));
    to = 32;
    rt_kernels kernels;
    rt_kernels_select(&kernels, rt_cpu_features());
    assert_ptr_equal(rt_unpacked_panels(&m.unpacked, kernels.widen_s4, 16, &to), m.out + 8 * RT_PANEL);
    assert_int_equal(to, 32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_agree),
        cmocka_unit_test(test_sessions_share),
        cmocka_unit_test(test_unknown_forms_are_refused),
        cmocka_unit_test(test_sessions_unpack_at_once),
        cmocka_unit_test(test_outliers_are_added),
        cmocka_unit_test(test_outliers_that_do_not_fit),
    };
    return cmocka_run_group_tests_name("unpack", tests, make_folder, remove_folder);
}
