/* SPDX-License-Identifier: Apache-2.0
 * How a batch is checked and cut into chunks, and that equal sequences are computed once. */
#include "model/model.h"
#include "engine/prepare.h"
#include "run/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 64, LONGEST = 96, MASK = 7 };

typedef struct sample {
    int32_t offsets[MOST + 1];
    int32_t ids[MOST * LONGEST], types[MOST * LONGEST];
    rt_batch batch;
} sample;

static uint32_t state = 1;
static uint32_t random_below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

/* Every other sequence or so repeats an earlier one, some of those with one id or type changed. */
static sample *make_sample(size_t n, uint32_t longest) {
    sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (size_t i = 0; i < n; i++) {
        bool repeats = i > 0 && random_below(2) == 1;
        size_t other = repeats ? random_below((uint32_t)i) : 0;
        int32_t from = s->offsets[other], at = s->offsets[i];
        int32_t length = repeats ? s->offsets[other + 1] - from : 1 + (int32_t)random_below(longest);
        s->offsets[i + 1] = at + length;
        for (int32_t t = 0; t < length; t++) {
            s->ids[at + t] = repeats ? s->ids[from + t] : (int32_t)random_below(20);
            s->types[at + t] = repeats ? s->types[from + t] : (int32_t)random_below(2);
        }
        if (random_below(4) == 0) s->types[at + (int32_t)random_below((uint32_t)length)] = 0;
        if (random_below(4) == 0) s->ids[at + (int32_t)random_below((uint32_t)length)] = 3;
    }
    s->batch = (rt_batch){.ids = s->ids, .types = s->types, .offsets = s->offsets, .n = n};
    return s;
}

static rt_limits limits_of(size_t workers, bool padded) {
    return (rt_limits){.vocab = 20,
                       .types = 2,
                       .positions = LONGEST,
                       .mask_id = MASK,
                       .capacity = 192,
                       .max_rows = 128,
                       .min_rows = 1 + random_below(128),
                       .workers = workers,
                       .padded = padded,
                       .keep_duplicates = random_below(4) == 0,
                       .output = (rt_row_set)random_below(RT_ROW_SET_MASK_TOKENS + 1)};
}

static bool is_same(const sample *s, size_t a, size_t b) {
    int32_t x = s->offsets[a], y = s->offsets[b], length = s->offsets[a + 1] - x;
    return s->offsets[b + 1] - y == length && memcmp(s->ids + x, s->ids + y, (size_t)length * 4) == 0 &&
           memcmp(s->types + x, s->types + y, (size_t)length * 4) == 0;
}

/* Sequences that are computed stand in order, no two of them are equal, and each of the caller's is one. */
static void check_distinct(const rt_distinct *d, const sample *s, bool keep) {
    assert_true(keep ? d->count == s->batch.n : d->count <= s->batch.n);
    for (size_t k = 0; k < d->count; k++) {
        assert_int_equal(d->same[d->first[k]], k);
        assert_true(k == 0 || d->first[k - 1] < d->first[k]);
        for (size_t other = 0; other < k && !keep; other++) {
            assert_false(is_same(s, d->first[other], d->first[k]));
        }
    }
    for (size_t i = 0; i < s->batch.n; i++) {
        assert_true(d->same[i] < d->count && d->first[d->same[i]] <= i);
        assert_true(is_same(s, d->first[d->same[i]], i));
    }
}

static void check_places(const rt_prepared *p, const sample *s, rt_row_set output) {
    int32_t place = 0;
    for (size_t i = 0; i < s->batch.n; i++) {
        int32_t length = s->offsets[i + 1] - s->offsets[i], masks = 0;
        for (int32_t t = 0; t < length; t++) masks += s->ids[s->offsets[i] + t] == MASK;
        assert_int_equal(p->places[i], place);
        place += output == RT_ROW_SET_TOKENS ? length : output == RT_ROW_SET_SEQUENCES ? 1 : masks;
    }
    assert_int_equal(p->places[s->batch.n], place);
}

/* Every token that is computed is in exactly one chunk, at the row that starts and lengths say. */
static void check_chunks(const rt_prepared *p, const sample *s, const rt_limits *limits) {
    size_t computed = 0, masks = 0, tokens = 0;
    for (size_t c = 0; c < p->chunk_count; c++) {
        const rt_chunk *chunk = &p->chunks[c];
        size_t before = masks;
        assert_true(chunk->batch >= 1 && chunk->rows <= limits->capacity);
        assert_int_equal(p->first_sequence[c], computed);
        for (size_t b = 0; b < chunk->batch; b++, computed++) {
            size_t sequence = p->distinct.first[computed];
            int32_t from = s->offsets[sequence], length = s->offsets[sequence + 1] - from,
                    start = chunk->starts[b];
            tokens += (size_t)length;
            assert_int_equal(chunk->lengths[b], length);
            assert_memory_equal(chunk->ids + start, s->ids + from, (size_t)length * 4);
            assert_memory_equal(chunk->types + start, s->types + from, (size_t)length * 4);
            for (int32_t i = 0; i < length; i++) {
                assert_int_equal(chunk->positions[start + i], i);
                if (s->ids[from + i] != MASK) continue;
                assert_int_equal(chunk->mask_token_rows[masks - before], start + i);
                masks++;
            }
            assert_int_equal((size_t)chunk->mask_token_starts[b + 1] + before, masks);
            for (size_t i = 0; limits->padded && i < chunk->seq; i++) {
                assert_int_equal(chunk->wide_mask[(size_t)start + i], i < (size_t)length);
                assert_int_equal(chunk->wide_ids[(size_t)start + i], chunk->ids[(size_t)start + i]);
            }
        }
    }
    assert_int_equal(computed, p->distinct.count);
    assert_int_equal(masks, p->mask_tokens);
    assert_int_equal(tokens, p->tokens);
}

static void test_chunks_hold_the_batch(void **unused) {
    (void)unused;
    rt_prepared prepared = {0};
    for (int round = 0; round < 300; round++) {
        sample *s = make_sample(random_below(MOST + 1), 1 + random_below(LONGEST));
        rt_limits limits = limits_of(1 + random_below(4), random_below(2) == 1);
        retort_error err;
        assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, &err), RETORT_OK);
        check_distinct(&prepared.distinct, s, limits.keep_duplicates);
        check_chunks(&prepared, s, &limits);
        check_places(&prepared, s, limits.output);
        free(s);
    }
    rt_prepared_free(&prepared);
}

static void test_even_batch_is_shared_out(void **unused) {
    (void)unused;
    rt_prepared prepared = {0};
    sample *s = make_sample(0, 1);
    for (int i = 0; i < 4; i++) {
        s->offsets[i + 1] = s->offsets[i] + 60;
        s->ids[s->offsets[i]] = i;
    }
    s->batch.n = 4;
    rt_limits limits = limits_of(2, false);
    for (size_t rounds = 1; rounds <= 2; rounds++) { /* chunks per worker */
        limits.min_rows = 120 / rounds;
        assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, NULL), RETORT_OK);
        assert_false(prepared.team);
        assert_int_equal(prepared.chunk_count, 2 * rounds);
    }
    s->batch.n = 1; /* one sequence cannot be shared out: all workers on it together */
    assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, NULL), RETORT_OK);
    assert_true(prepared.team);
    assert_int_equal(prepared.chunk_count, 1);
    rt_prepared_free(&prepared);
    free(s);
}

/* Sequences are known apart by what they are, not by their hash; and when all collide, only so many are looked
 * at, so that a sequence may be computed twice, and time stays in proportion to the tokens. */
static uint64_t same_hash(const rt_batch *batch, size_t sequence) {
    (void)batch;
    (void)sequence;
    return 42;
}

static void test_equal_hashes(void **unused) {
    (void)unused;
    rt_distinct distinct = {0};
    for (int round = 0; round < 100; round++) {
        sample *s = make_sample(random_below(32), 1 + random_below(4));
        assert_int_equal(rt_distinct_find(&distinct, &s->batch, same_hash, NULL), RETORT_OK);
        check_distinct(&distinct, s, false);
        free(s);
    }
    sample *s = make_sample(0, 1);
    for (int i = 0; i < MOST; i++) { /* 0 1 2 … 59 56 57 58 59 */
        s->offsets[i + 1] = i + 1;
        s->ids[i] = i < 60 ? i : i - 4;
    }
    s->batch.n = MOST;
    assert_int_equal(rt_distinct_find(&distinct, &s->batch, same_hash, NULL), RETORT_OK);
    assert_int_equal(distinct.count, MOST); /* 56 and on were beyond what is looked at */
    for (size_t i = 0; i < MOST; i++) assert_int_equal(distinct.first[distinct.same[i]], i);
    assert_int_equal(rt_distinct_find(&distinct, &s->batch, rt_distinct_hash, NULL), RETORT_OK);
    assert_int_equal(distinct.count, 60);
    rt_distinct_free(&distinct);
    free(s);
}

/* A large batch of distinct short sequences, and the same twice: each is found. */
static void test_many_sequences(void **unused) {
    (void)unused;
    enum { HALF = 1 << 15, WIDTH = 3 };
    int32_t *ids = calloc(2 * HALF * WIDTH, sizeof *ids), *offsets = calloc(2 * HALF + 1, sizeof *offsets);
    assert_true(ids != NULL && offsets != NULL);
    for (int32_t i = 0; i < 2 * HALF; i++) {
        int32_t at = WIDTH * i, value = i % HALF;
        ids[at] = value >> 10;
        ids[at + 1] = value >> 5 & 31;
        ids[at + 2] = value & 31;
        offsets[i + 1] = at + WIDTH;
    }
    rt_distinct distinct = {0};
    const rt_batch batch = {.ids = ids, .offsets = offsets, .n = 2 * HALF};
    assert_int_equal(rt_distinct_find(&distinct, &batch, rt_distinct_hash, NULL), RETORT_OK);
    assert_int_equal(distinct.count, HALF);
    for (size_t i = 0; i < 2 * HALF; i++) assert_int_equal(distinct.same[i], i % HALF);
    assert_int_equal(rt_distinct_find(&distinct, &batch, NULL, NULL), RETORT_OK);
    assert_int_equal(distinct.count, 2 * HALF);
    rt_distinct_free(&distinct);
    free(ids);
    free(offsets);
}

/* ---- Whole models ---- */

/* A batch by the numbers of its sequences: equal numbers are equal sequences, and number + TYPED has the ids
 * of `number` with other types. */
enum { TYPED = 16, PATTERN = 12 };

typedef struct pattern {
    const char *name;
    size_t n;
    int sequences[PATTERN];
} pattern;

static const pattern patterns[] = {
    {"one", 1, {2}},
    {"all differ", 6, {0, 1, 2, 3, 4, 5}},
    {"adjacent", 8, {0, 0, 1, 1, 2, 2, 3, 3}},
    {"far apart", 9, {4, 1, 2, 3, 0, 1, 3, 2, 4}},
    {"all equal", 12, {3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3}},
    {"each worker apart", 6, {8, 9, 8, 10, 11, 9}},
    {"types", 8, {1, 1 + TYPED, 2, 1, 2 + TYPED, 2, 1 + TYPED, 1}},
};

static int32_t length_of(int sequence) {
    return sequence % TYPED < 8 ? 4 + 5 * (sequence % TYPED) : 44;
}

/* Ids below the golden checkpoints' vocabulary of 100; some are the mask token, of each odd sequence none. */
static sample *make_pattern(const pattern *p, const retort_model *model) {
    sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (size_t i = 0; i < p->n; i++) {
        int number = p->sequences[i] % TYPED, typed = p->sequences[i] / TYPED;
        int32_t at = s->offsets[i], length = length_of(number);
        for (int32_t t = 0; t < length; t++) {
            bool mask = model->graph.mask_id >= 0 && number % 2 == 0 && t % 3 == 1;
            s->ids[at + t] = mask ? (int32_t)model->graph.mask_id : 5 + (7 * number + 13 * t) % 80;
            s->types[at + t] = model->config.types > 1 && typed == 1 && t > 1;
        }
        s->offsets[i + 1] = at + length;
    }
    s->batch = (rt_batch){.ids = s->ids, .types = s->types, .offsets = s->offsets, .n = p->n};
    return s;
}

static retort_model *import_at(const char *name, int level, retort_dtype dtype) {
    char path[4096];
    retort_error err = {0};
    retort_model *model = NULL;
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    const char *root = getenv("RETORT_ROOT");
    options.level = level;
    options.dtype = dtype;
    snprintf(path, sizeof path, "%s/test/golden/checkpoints/%s", root == NULL ? "." : root, name);
    if (retort_model_import(&model, path, &options, &err) != RETORT_OK) fail_msg("%s: %s", name, err.text);
    return model;
}

/* Runs the batch twice; *operations: of the step that reads every row first. */
static retort_session *run_batch(retort_model *model, const sample *s, int threads, bool keep,
                                 retort_matrix *out, double *operations) {
    retort_error err = {0};
    retort_session *session = NULL;
    retort_step_info step = {.size = sizeof step};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.threads = threads;
    options.chunk_tokens = 32; /* several chunks */
    options.profile = true;
    options.keep_duplicates = keep;
    retort_status status = retort_session_open(&session, model, &options, &err);
    for (int i = 0; i < 2 && status == RETORT_OK; i++) status = rt_session_run(session, &s->batch, out, &err);
    if (status != RETORT_OK) fail_msg("%s", err.text);
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++) {
        if (strcmp(step.op, "Linear") != 0) continue;
        *operations = step.operations;
        break;
    }
    return session;
}

/* The result has the same bits as when each sequence is computed for itself, and less is computed. */
static void compare_runs(const char *name, retort_model *model, const pattern *p, int threads) {
    sample *s = make_pattern(p, model);
    retort_matrix once, each;
    double operations_once = 0, operations_each = 0;
    retort_session *a = run_batch(model, s, threads, false, &once, &operations_once);
    retort_session *b = run_batch(model, s, threads, true, &each, &operations_each);
    assert_true(once.rows == each.rows && once.columns == each.columns && each.columns > 0);
    if (memcmp(once.data, each.data, each.rows * each.columns * sizeof(float)) != 0) {
        fail_msg("%s, level %d, %s, %d threads: other bits", name, model->graph.level, p->name, threads);
    }
    if (model->graph.level == 3) {
        int32_t tokens = 0; /* of the distinct ones */
        for (size_t i = 0, seen; i < p->n; i++) {
            for (seen = 0; seen < i && !is_same(s, seen, i); seen++) {
            }
            if (seen == i) tokens += s->offsets[i + 1] - s->offsets[i];
        }
        assert_true(tokens == s->offsets[p->n] ? operations_once == operations_each
                                               : operations_once < operations_each);
        assert_true(operations_each > 0);
        assert_true(operations_once * s->offsets[p->n] == operations_each * tokens);
    }
    retort_session_close(a);
    retort_session_close(b);
    free(s);
}

/* A checkpoint a kind of result: a row a sequence, a row a token, a row a mask token. */
static void test_equal_sequences_are_computed_once(void **unused) {
    (void)unused;
    static const char *const names[] = {"bert-classify",     "distilbert-classify", "bert-tag",
                                        "distilbert-answer", "bert-fill",           "distilbert-fill",
                                        "bert-embed",        "package-mean"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        for (int level = 0; level <= 3; level += 3) { /* padded and ragged */
            retort_model *model = import_at(names[i], level, RETORT_F32);
            for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
                for (int threads = 1; threads <= 2; threads++)
                    compare_runs(names[i], model, &patterns[k], threads);
            }
            retort_model_free(model);
        }
    }
}

static void test_equal_sequences_of_narrow_weights(void **unused) {
    (void)unused;
    retort_model *bf16 = import_at("bert-wide", 3, RETORT_BF16), *f32 = import_at("bert-wide", 3, RETORT_F32);
    retort_model *s8 = NULL;
    assert_int_equal(retort_model_quantize(&s8, f32, NULL, NULL), RETORT_OK);
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
        compare_runs("bert-wide bf16", bf16, &patterns[k], 2);
        compare_runs("bert-wide int8", s8, &patterns[k], 2);
    }
    retort_model_free(bf16);
    retort_model_free(f32);
    retort_model_free(s8);
}

/* The same batch may come with fewer duplicates than before, or with none. */
static void test_batches_in_turn(void **unused) {
    (void)unused;
    retort_model *model = import_at("bert-tag", 3, RETORT_F32);
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *kept = NULL, *session = NULL;
    options.threads = 2;
    assert_int_equal(retort_session_open(&session, model, &options, NULL), RETORT_OK);
    options.keep_duplicates = true;
    assert_int_equal(retort_session_open(&kept, model, &options, NULL), RETORT_OK);
    for (size_t k = 0; k < 20; k++) {
        sample *s = make_pattern(&patterns[random_below(sizeof patterns / sizeof *patterns)], model);
        retort_matrix x, y;
        assert_int_equal(rt_session_run(session, &s->batch, &x, NULL), RETORT_OK);
        assert_int_equal(rt_session_run(kept, &s->batch, &y, NULL), RETORT_OK);
        assert_true(x.rows == y.rows && x.rows == (size_t)s->offsets[s->batch.n]);
        assert_memory_equal(x.data, y.data, x.rows * x.columns * sizeof(float));
        free(s);
    }
    retort_session_close(session);
    retort_session_close(kept);
    retort_model_free(model);
}

/* The logits of one sequence, computed by so many threads together, and the operations of its
 * largest step. */
static void run_together(retort_model *model, const rt_batch *batch, int threads, float logits[2],
                         double *operations) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session = NULL;
    retort_step_info step = {.size = sizeof step};
    retort_matrix out;
    options.threads = threads;
    options.profile = true;
    assert_int_equal(retort_session_open(&session, model, &options, NULL), RETORT_OK);
    assert_int_equal(rt_session_run(session, batch, &out, NULL), RETORT_OK);
    assert_true(out.rows == 1 && out.columns == 2);
    memcpy(logits, out.data, 2 * sizeof *logits);
    *operations = 0;
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++) {
        if (step.operations > *operations) *operations = step.operations;
    }
    retort_session_close(session);
}

/* Steps as large as those of real models are cut into parts, which workers take as they come. */
static void test_parts_of_steps(void **unused) {
    (void)unused;
    static const int threads[] = {1, 2, 3, 5, 8};
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    retort_model *model = NULL;
    sample *s = make_sample(0, 1);
    snprintf(path, sizeof path, "%s/models/sentiment.retort", root == NULL ? "." : root);
    assert_int_equal(retort_model_load(&model, path, NULL), RETORT_OK);
    for (int32_t i = 0; i < 90; i++) s->ids[i] = 1000 + 31 * i;
    s->offsets[1] = 90;
    s->batch.n = 1;
    float alone[2], together[2];
    double operations, all;
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        run_together(model, &s->batch, threads[i], i == 0 ? alone : together, i == 0 ? &all : &operations);
        if (i == 0) continue;
        assert_memory_equal(alone, together, sizeof alone);
        assert_true(operations == all && operations > 2e7);
    }
    retort_model_free(model);
    free(s);
}

static void expect_refused(sample *s, retort_status status, const char *words) {
    rt_prepared prepared = {0};
    rt_limits limits = limits_of(2, false);
    retort_error err = {0};
    assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, &err), status);
    if (strstr(err.text, words) == NULL) fail_msg("'%s' does not say '%s'", err.text, words);
    rt_prepared_free(&prepared);
    free(s);
}

static void test_bad_batches_are_refused(void **unused) {
    (void)unused;
    sample *s = make_sample(3, 8);
    s->ids[2] = 20;
    expect_refused(s, RETORT_ARGUMENT, "token id 2 is 20: expected 0 to 19");
    s = make_sample(3, 8);
    s->ids[0] = -1;
    expect_refused(s, RETORT_ARGUMENT, "token id 0 is -1");
    s = make_sample(3, 8);
    s->types[1] = 2;
    expect_refused(s, RETORT_ARGUMENT, "token type 1 is 2");
    s = make_sample(3, 8);
    s->offsets[2] = s->offsets[1];
    expect_refused(s, RETORT_LIMIT, "sequence 1 has 0 tokens: expected 1 to 96");
    s = make_sample(3, 8);
    s->offsets[1] = INT32_MAX;
    expect_refused(s, RETORT_LIMIT, "sequence 0");
    s = make_sample(3, 8);
    s->offsets[0] = 1;
    expect_refused(s, RETORT_ARGUMENT, "offsets[0] is 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunks_hold_the_batch),
        cmocka_unit_test(test_even_batch_is_shared_out),
        cmocka_unit_test(test_bad_batches_are_refused),
        cmocka_unit_test(test_equal_hashes),
        cmocka_unit_test(test_many_sequences),
        cmocka_unit_test(test_equal_sequences_are_computed_once),
        cmocka_unit_test(test_equal_sequences_of_narrow_weights),
        cmocka_unit_test(test_batches_in_turn),
        cmocka_unit_test(test_parts_of_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
