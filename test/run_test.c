/* SPDX-License-Identifier: Apache-2.0
 * How a batch is checked and cut into chunks. */
#include "run/prepare.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 64, LONGEST = 96, MASK = 7 };

typedef struct sample {
    int32_t offsets[MOST + 1];
    int32_t ids[MOST * LONGEST], types[MOST * LONGEST];
    retort_batch batch;
} sample;

static uint32_t state = 1;
static uint32_t random_below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

static sample *make_sample(size_t n, uint32_t longest) {
    sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    for (size_t i = 0; i < n; i++) s->offsets[i + 1] = s->offsets[i] + 1 + (int32_t)random_below(longest);
    for (int32_t i = 0; i < s->offsets[n]; i++) {
        s->ids[i] = (int32_t)random_below(20);
        s->types[i] = (int32_t)random_below(2);
    }
    s->batch = (retort_batch){.ids = s->ids, .types = s->types, .offsets = s->offsets, .n = n};
    return s;
}

static rt_limits limits_of(size_t workers, bool padded) {
    return (rt_limits){.vocab = 20,
                       .types = 2,
                       .positions = LONGEST,
                       .mask_id = MASK,
                       .capacity = 192,
                       .wanted = 128,
                       .workers = workers,
                       .padded = padded};
}

/* Every token of the batch is in exactly one chunk, at the row that starts and lengths say. */
static void check_chunks(const rt_prepared *p, const sample *s, const rt_limits *limits) {
    size_t sequence = 0, masks = 0;
    for (size_t c = 0; c < p->chunk_count; c++) {
        const rt_chunk *chunk = &p->chunks[c];
        assert_true(chunk->batch >= 1 && chunk->rows <= limits->capacity);
        assert_int_equal(p->first_sequence[c], sequence);
        assert_int_equal(p->first_token[c], s->offsets[sequence]);
        assert_int_equal(p->first_mask[c], masks);
        for (size_t b = 0; b < chunk->batch; b++, sequence++) {
            int32_t from = s->offsets[sequence], length = s->offsets[sequence + 1] - from,
                    start = chunk->starts[b];
            assert_int_equal(chunk->lengths[b], length);
            assert_memory_equal(chunk->ids + start, s->ids + from, (size_t)length * 4);
            assert_memory_equal(chunk->types + start, s->types + from, (size_t)length * 4);
            for (int32_t i = 0; i < length; i++) {
                assert_int_equal(chunk->positions[start + i], i);
                if (s->ids[from + i] != MASK) continue;
                assert_int_equal(chunk->mask_rows[masks - p->first_mask[c]], start + i);
                masks++;
            }
            assert_int_equal((size_t)chunk->mask_starts[b + 1] + p->first_mask[c], masks);
            for (size_t i = 0; limits->padded && i < chunk->seq; i++) {
                assert_int_equal(chunk->wide_mask[(size_t)start + i], i < (size_t)length);
                assert_int_equal(chunk->wide_ids[(size_t)start + i], chunk->ids[(size_t)start + i]);
            }
        }
    }
    assert_int_equal(sequence, s->batch.n);
    assert_int_equal(masks, p->masks);
}

static void test_chunks_hold_the_batch(void **unused) {
    (void)unused;
    rt_prepared prepared = {0};
    for (int round = 0; round < 300; round++) {
        sample *s = make_sample(random_below(MOST + 1), 1 + random_below(LONGEST));
        rt_limits limits = limits_of(1 + random_below(4), random_below(2) == 1);
        retort_error err;
        assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, &err), RETORT_OK);
        check_chunks(&prepared, s, &limits);
        free(s);
    }
    rt_prepared_free(&prepared);
}

static void test_even_batch_is_shared_out(void **unused) {
    (void)unused;
    rt_prepared prepared = {0};
    sample *s = make_sample(0, 1);
    for (int i = 0; i < 4; i++) s->offsets[i + 1] = s->offsets[i] + 60;
    s->batch.n = 4;
    rt_limits limits = limits_of(2, false);
    assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, NULL), RETORT_OK);
    assert_false(prepared.team);
    assert_int_equal(prepared.chunk_count, 2);
    s->batch.n = 1; /* one sequence cannot be shared out: all workers on it together */
    assert_int_equal(rt_prepare(&prepared, &s->batch, &limits, NULL), RETORT_OK);
    assert_true(prepared.team);
    assert_int_equal(prepared.chunk_count, 1);
    rt_prepared_free(&prepared);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
