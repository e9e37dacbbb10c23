/* SPDX-License-Identifier: Apache-2.0
 * What a session's tap sees: every step of every chunk once, in order, with the rows that are computed. */
#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEQUENCES = 12, LONGEST = 44, STEPS_MOST = 128 };

/* Sequences of several lengths; in models that fill masks every third token is one. */
typedef struct sample {
    int32_t offsets[SEQUENCES + 1];
    int32_t ids[SEQUENCES * LONGEST], types[SEQUENCES * LONGEST];
    retort_batch batch;
} sample;

/* `distinct` sequences in turn, n of them. Ids are below the golden checkpoints' vocabulary of 100. */
static sample *make_sample(const retort_model *model, size_t n, size_t distinct) {
    sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (size_t i = 0; i < n; i++) {
        int32_t number = (int32_t)(i % distinct), at = s->offsets[i], length = 4 + 5 * (number % 9);
        for (int32_t t = 0; t < length; t++) {
            bool mask = model->graph.mask_id >= 0 && t % 3 == 1;
            s->ids[at + t] = mask ? (int32_t)model->graph.mask_id : 5 + (7 * number + 13 * t) % 80;
        }
        s->offsets[i + 1] = at + length;
    }
    s->batch = (retort_batch){.ids = s->ids, .types = s->types, .offsets = s->offsets, .n = n};
    return s;
}

static retort_model *import_at(const char *name, int level) {
    char path[4096];
    retort_error err = {0};
    retort_model *model = NULL;
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    const char *root = getenv("RETORT_ROOT");
    options.level = level;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root == NULL ? "." : root, name);
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    return model;
}

/* What a tap has seen of one run: all rows of each step's first output. */
typedef struct seen {
    const rt_graph *graph;
    size_t calls, steps, stop_at; /* calls after which it stops the run; 0: never */
    size_t rows[STEPS_MOST], columns[STEPS_MOST], chunk_rows[STEPS_MOST];
    float *out[STEPS_MOST];
} seen;

static void seen_free(seen *it) {
    for (size_t i = 0; i < STEPS_MOST; i++) free(it->out[i]);
}

/* Column j of row x times the packed weight, plus the bias. */
static double product(const rt_graph *graph, const rt_node *node, const float *x, size_t j) {
    const rt_value *weight = &graph->values[node->inputs[LINEAR_WEIGHT]];
    const float *w = weight->data,
                *bias = node->inputs[LINEAR_BIAS] < 0 ? NULL : graph->values[node->inputs[LINEAR_BIAS]].data;
    size_t k = (size_t)weight->dims[0];
    double sum = bias == NULL ? 0 : (double)bias[j];
    for (size_t i = 0; i < k; i++) sum += (double)x[i] * (double)w[(j / 16 * k + i) * 16 + j % 16];
    return sum;
}

/* A matrix without activation and residual: `out` is `in` times its weight. */
static void check_product(const seen *it, const rt_node *node, const retort_tapped *tapped) {
    const rt_value *weight = &it->graph->values[node->inputs[LINEAR_WEIGHT]];
    bool residual = node->input_count > LINEAR_RESIDUAL && node->inputs[LINEAR_RESIDUAL] >= 0;
    assert_int_equal(tapped->in.columns, weight->dims[0]);
    assert_int_equal(tapped->in.rows, tapped->out.rows);
    if (node->attrs.act != RT_FN_NONE || residual) return;
    for (size_t r = 0; r < tapped->out.rows; r++) {
        for (size_t j = 0; j < tapped->out.columns; j++) {
            double y = product(it->graph, node, tapped->in.data + r * tapped->in.columns, j);
            assert_true(fabs(y - (double)tapped->out.data[r * tapped->out.columns + j]) < 1e-4);
        }
    }
}

/* Steps come in order, chunk by chunk; `in` holds the bits that its producer had as `out`. */
static int see(void *user, const retort_tapped *tapped) {
    seen *it = user;
    const rt_node *node = &it->graph->nodes[tapped->step];
    size_t step = tapped->step, columns = tapped->out.columns, rows = tapped->out.rows;
    assert_int_equal(step, it->calls++ % it->steps);
    assert_string_equal(tapped->name, node->name);
    assert_string_equal(tapped->op, rt_op_info(node->op)->text);
    if (tapped->out.data == NULL) return it->calls == it->stop_at;
    float *grown = realloc(it->out[step], (it->rows[step] + rows) * columns * sizeof(float) + 1);
    assert_non_null(grown);
    if (rows > 0) memcpy(grown + it->rows[step] * columns, tapped->out.data, rows * columns * sizeof(float));
    it->out[step] = grown;
    it->rows[step] += rows;
    it->columns[step] = columns;
    it->chunk_rows[step] = rows;
    if (tapped->in.data == NULL) return it->calls == it->stop_at;
    size_t producer = (size_t)it->graph->values[node->inputs[LINEAR_X]].producer;
    assert_int_equal(tapped->in.rows, it->chunk_rows[producer]);
    assert_int_equal(tapped->in.columns, it->columns[producer]);
    const float *made = it->out[producer] + (it->rows[producer] - tapped->in.rows) * tapped->in.columns;
    assert_memory_equal(tapped->in.data, made, tapped->in.rows * tapped->in.columns * sizeof(float));
    if (node->op == RT_OP_LINEAR) check_product(it, node, tapped);
    return it->calls == it->stop_at;
}

static retort_session *open_tapped(retort_model *model, int threads, seen *it) {
    retort_error err = {0};
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session_info info = {.size = sizeof info};
    options.threads = threads;
    options.chunk_tokens = 32; /* several chunks */
    options.tap = it == NULL ? NULL : see;
    options.tap_user = it;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    retort_session_describe(session, &info);
    assert_true(info.steps <= STEPS_MOST);
    if (it != NULL) *it = (seen){.graph = &model->graph, .steps = info.steps};
    return session;
}

/* The result keeps its bits, and is what the tap saw last; every step has shown all its rows. */
static void check_tap(retort_model *model, size_t n, size_t distinct, int threads) {
    static seen it;
    sample *s = make_sample(model, n, distinct);
    retort_matrix tapped, plain;
    retort_session *a = open_tapped(model, threads, &it), *b = open_tapped(model, threads, NULL);
    assert_int_equal(retort_run(a, &s->batch, &tapped, NULL), RETORT_OK);
    assert_int_equal(retort_run(b, &s->batch, &plain, NULL), RETORT_OK);
    assert_true(tapped.rows == plain.rows && tapped.columns == plain.columns);
    assert_memory_equal(tapped.data, plain.data, plain.rows * plain.columns * sizeof(float));
    size_t last = it.steps - 1, computed = distinct < n ? distinct : n;
    assert_true(it.calls > 0 && it.calls % it.steps == 0);
    if (s->offsets[computed] > 96) assert_true(it.calls > it.steps); /* chunks of 32 tokens or so */
    assert_int_equal(it.rows[0], s->offsets[computed]);              /* the embedding's */
    assert_int_equal(it.columns[last], plain.columns);
    /* The distinct sequences stand first, so do their rows of the result. */
    assert_true(distinct < n ? it.rows[last] < plain.rows : it.rows[last] == plain.rows);
    assert_memory_equal(it.out[last], plain.data, it.rows[last] * plain.columns * sizeof(float));
    retort_session_close(a);
    retort_session_close(b);
    seen_free(&it);
    free(s);
}

static void test_tap_sees_every_step(void **unused) {
    (void)unused;
    static const char *const names[] = {"bert-classify", "distilbert-classify", "bert-tag", "bert-fill",
                                        "package-mean"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        retort_model *model = import_at(names[i], 3);
        for (int threads = 1; threads <= 3; threads++) {
            check_tap(model, 1, 1, threads);
            check_tap(model, 9, 9, threads);
            check_tap(model, SEQUENCES, 5, threads);
        }
        retort_model_free(model);
    }
}

/* A stopped run names the step; the session goes on as if nothing had been. */
static void test_tap_stops_a_run(void **unused) {
    (void)unused;
    static seen it;
    retort_model *model = import_at("bert-tag", 3);
    sample *s = make_sample(model, 9, 9);
    for (int threads = 1; threads <= 2; threads++) {
        retort_error err = {0};
        retort_matrix out;
        retort_session *session = open_tapped(model, threads, &it);
        it.stop_at = it.steps + 3; /* in the second chunk */
        assert_int_equal(retort_run(session, &s->batch, &out, &err), RETORT_CANCELLED);
        assert_int_equal(it.calls, it.stop_at);
        assert_non_null(strstr(err.text, model->graph.nodes[2].name));
        assert_non_null(strstr(err.text, "the tap stopped the run"));
        it.calls = it.stop_at = 0;
        assert_int_equal(retort_run(session, &s->batch, &out, &err), RETORT_OK);
        assert_true(out.rows == (size_t)s->offsets[s->batch.n] && it.calls % it.steps == 0);
        retort_session_close(session);
        seen_free(&it);
    }
    free(s);
    retort_model_free(model);
}

/* Integer rows are not shown, and graphs that compute padding are refused. */
static int see_integers(void *user, const retort_tapped *tapped) {
    size_t *linears = user;
    if (strcmp(tapped->op, "Linear") != 0) return 0;
    assert_true(tapped->in.data == NULL && tapped->in.rows == 0 && tapped->in.columns == 0);
    assert_true(tapped->out.data != NULL && tapped->out.rows > 0);
    ++*linears;
    return 0;
}

static void test_tap_of_other_models(void **unused) {
    (void)unused;
    retort_model *f32 = import_at("bert-wide", 3), *plain = import_at("bert-wide", 2);
    retort_model *s8 = NULL;
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_error err = {0};
    retort_matrix out;
    size_t linears = 0;
    sample *s = make_sample(f32, 3, 3);
    options.tap = see_integers;
    options.tap_user = &linears;
    assert_int_equal(retort_model_quantize(&s8, f32, NULL, NULL), RETORT_OK);
    assert_int_equal(retort_session_open(&session, s8, &options, NULL), RETORT_OK);
    assert_int_equal(retort_run(session, &s->batch, &out, NULL), RETORT_OK);
    assert_true(linears > 0);
    retort_session_close(session);
    assert_int_equal(retort_session_open(&session, plain, &options, &err), RETORT_UNSUPPORTED);
    assert_string_equal(err.text, "tap: the model is of level 2: expected 3");
    free(s);
    retort_model_free(f32);
    retort_model_free(plain);
    retort_model_free(s8);
}

/* Rows of one run that are written into another, step by step up to a layer's end. */
typedef struct transplant {
    bool write;
    size_t last, steps; /* the last step that is written; the steps of a run */
    float *rows[STEPS_MOST];
} transplant;

static int see_or_write(void *user, const retort_tapped *tapped) {
    transplant *it = user;
    size_t n = tapped->out.rows * tapped->out.columns, step = tapped->step;
    if (step >= it->steps) it->steps = step + 1;
    if (tapped->out.data == NULL) return 0;
    assert_ptr_equal(tapped->out_write, tapped->out.data);
    if (!it->write) {
        it->rows[step] = malloc((n + 1) * sizeof *it->rows[step]);
        memcpy(it->rows[step], tapped->out.data, n * sizeof *it->rows[step]);
    } else if (step <= it->last) {
        memcpy(tapped->out_write, it->rows[step], n * sizeof *it->rows[step]);
    }
    return 0;
}

/* A run that goes on from another run's rows ends with that one's answers, bit for bit. */
static void test_tap_writes(void **unused) {
    (void)unused;
    retort_model *model = import_at("bert-wide", 3);
    retort_session *session = NULL;
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_matrix out;
    transplant it = {.write = false};
    sample *s = make_sample(model, 3, 3);
    options.chunk_tokens = 4096; /* one chunk, so that a step is seen once */
    options.tap = see_or_write;
    options.tap_user = &it;
    assert_int_equal(retort_session_open(&session, model, &options, NULL), RETORT_OK);
    assert_int_equal(retort_run(session, &s->batch, &out, NULL), RETORT_OK);
    size_t bytes = out.rows * out.columns * sizeof *out.data;
    float *wanted = malloc(bytes);
    memcpy(wanted, out.data, bytes);
    for (int32_t i = 0; i < s->offsets[3]; i++) s->ids[i] = 5 + (s->ids[i] + 1) % 80;
    it.write = true;
    for (it.last = 0; it.last + 1 < it.steps; it.last++) {
        assert_int_equal(retort_run(session, &s->batch, &out, NULL), RETORT_OK);
        assert_memory_equal(out.data, wanted, bytes);
    }
    memset(it.rows[0], 0, sizeof(float)); /* other rows are other answers */
    it.last = 0;
    assert_int_equal(retort_run(session, &s->batch, &out, NULL), RETORT_OK);
    assert_memory_not_equal(out.data, wanted, bytes);
    retort_session_close(session);
    for (size_t i = 0; i < STEPS_MOST; i++) free(it.rows[i]);
    free(wanted);
    free(s);
    retort_model_free(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tap_sees_every_step),
        cmocka_unit_test(test_tap_stops_a_run),
        cmocka_unit_test(test_tap_of_other_models),
        cmocka_unit_test(test_tap_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
