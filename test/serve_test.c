/* SPDX-License-Identifier: Apache-2.0
 * Parts of the server alone: JSON in and out, and the queue without threads. */
#include "serve/base/json.h"
#include "serve/base/out.h"
#include "serve/queue/queue.h"
#include "serve/base/state.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- JSON ---- */

static bool parse(srv_json_doc *doc, char *scratch, const char *text) {
    memcpy(scratch, text, strlen(text) + 1);
    return srv_json_parse(doc, scratch, strlen(text));
}

static void reads_json(void **unused) {
    (void)unused;
    srv_json_doc doc = {0};
    char text[512];
    assert_true(parse(
        &doc, text, " {\"a\":[1,-2.5e1,true,null,\"x\"],\"b\":{\"c\":\"\"},\"\\u00e9\\ud83d\\ude00\":[]} "));
    const srv_json *a = srv_json_get(doc.values, "a"), *item = srv_json_first(a);
    assert_true(a->count == 5 && item[0].integer == 1 && item[1].real == -25 && item[2].kind == SRV_TRUE);
    assert_true(item[3].kind == SRV_NULL && srv_json_equals(&item[4], "x") && a->span == 6);
    assert_true(srv_json_equals(srv_json_get(srv_json_get(doc.values, "b"), "c"), ""));
    assert_int_equal(srv_json_get(doc.values, "\xc3\xa9\xf0\x9f\x98\x80")->count, 0);
    assert_null(srv_json_get(doc.values, "c"));
    assert_null(srv_json_get(a, "a"));
    assert_true(parse(&doc, text, "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000z\""));
    assert_true(doc.values->length == 11 && memcmp(doc.values->text, "a\"\\/\b\f\n\r\t\0z", 11) == 0);
    assert_true(parse(&doc, text, "[123456789012345678,1234567890123456789]"));
    assert_true(doc.values[1].kind == SRV_INTEGER && doc.values[2].kind == SRV_REAL);
    srv_json_free(&doc);
}

static void refuses_what_is_no_json(void **unused) {
    (void)unused;
    static const char *const wrong[] = {"",
                                        " ",
                                        "{",
                                        "[1,]",
                                        "[1 2]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{a:1}",
                                        "01",
                                        "-",
                                        "1.",
                                        "1e",
                                        ".5",
                                        "+1",
                                        "NaN",
                                        "Infinity",
                                        "tru",
                                        "nullx",
                                        "\"",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "'a'",
                                        "\"\\ud800\"",
                                        "\"\\udc00\"",
                                        "[1]]",
                                        "1e999",
                                        "\"a\nb\"",
                                        "\"\x80\"",
                                        "\"\xc0\xaf\"",
                                        "\"\xed\xa0\x80\"",
                                        "\"\xf5\x80\x80\x80\"",
                                        "\"\xe2\x82\"",
                                        "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
                                        "{\"a\":1,\"a\":2}",
                                        "{\"a\":1,\"\\u0061\":2}"};
    srv_json_doc doc = {0};
    char text[128];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse(&doc, text, wrong[i])) fail_msg("accepted: %s", wrong[i]);
        assert_int_equal(strncmp(doc.error, "line ", 5), 0);
    }
    srv_json_free(&doc);
}

static void bounds_what_a_body_makes(void **unused) {
    (void)unused;
    srv_json_doc doc = {0};
    size_t n = 2 * (size_t)SRV_JSON_VALUES + 16;
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = i % 2 == 0 ? '1' : ',';
    text[0] = '[';
    text[1] = '1';
    text[n] = '\0';
    assert_false(srv_json_parse(&doc, text, n));
    assert_non_null(strstr(doc.error, "more values"));
    srv_json_free(&doc);
    free(text);
}

static void check_real(double value, const char *expected) {
    srv_out out = {0};
    srv_out_real(&out, value);
    srv_out_bytes(&out, "", 1);
    assert_string_equal(out.data, expected);
    srv_out_free(&out);
}

static void writes_json(void **unused) {
    (void)unused;
    srv_out out = {0};
    srv_out_string(&out, "a\"\\\n\x01\xc3\xa9\xff.", 9);
    srv_out_bytes(&out, "", 1);
    assert_string_equal(out.data, "\"a\\\"\\\\\\u000a\\u0001\xc3\xa9\xef\xbf\xbd.\"");
    out.length = 0;
    srv_out_int(&out, INT64_MIN);
    srv_out_base64(&out, "\xff\xee\xdd\xcc", 4);
    srv_out_bytes(&out, "", 1);
    assert_string_equal(out.data, "-9223372036854775808/+7dzA==");
    srv_out_free(&out);
    check_real(0, "0");
    check_real(-0.5, "-0.5");
    check_real(100, "100");
    check_real(99999999.5, "99999999.5");
    check_real(0.1F, "0.100000001");
    check_real(0.0001F, "9.99999975e-05");
    check_real(0.001, "0.001");
    check_real(9.9999999999, "10");
    check_real(1e30, "1e+30");
    check_real((double)INFINITY, "null");
    check_real((double)NAN, "null");
}

static void floats_come_back(void **unused) {
    (void)unused;
    uint32_t state = 1;
    char text[32];
    for (int i = 0; i < 200000; i++) {
        union {
            uint32_t bits;
            float value;
        } number = {.bits = (state = state * 1664525 + 1013904223)};
        if (!isfinite(number.value)) continue;
        srv_out out = {0};
        srv_out_real(&out, (double)number.value);
        memcpy(text, out.data, out.length);
        text[out.length] = '\0';
        assert_true(strtof(text, NULL) == number.value);
        srv_out_free(&out);
    }
}

/* ---- The queue ---- */

static srv_model_metrics metrics;
static int held, ended;

static void hold(srv_job *job) {
    (void)job;
    held++;
}
static void done(srv_job *job) {
    (void)job;
    ended++;
}

enum { MOST_ITEMS = 16 };
typedef struct request {
    srv_item items[MOST_ITEMS];
    srv_job job;
} request;

/* Texts first … first + n, of `tokens` ids each. */
static void make_request(request *r, int first, size_t n, size_t tokens) {
    *r = (request){
        .job = {.items = r->items, .count = n, .deadline = INT64_MAX, .fd = -1, .hold = hold, .done = done}};
    for (size_t i = 0; i < n; i++) {
        srv_entry *entry = srv_entry_new(tokens, 2 * tokens);
        assert_non_null(entry);
        for (size_t k = 0; k < 2 * tokens; k++) entry->key[k] = first + (int)i;
        r->items[i].entry = entry;
    }
}

static void open_queue(srv_queue *queue, size_t cache) {
    srv_queue_limits limits = {.batch_tokens = 16,
                               .batch_texts = 8,
                               .queue_tokens = 64,
                               .jobs = 4,
                               .cache = cache,
                               .cache_bytes = SIZE_MAX,
                               .workers = 1};
    assert_true(srv_queue_open(queue, &limits, &metrics));
    held = ended = 0;
}

/* Takes a batch and answers each text with its first id. */
static size_t run_batch(srv_queue *queue, srv_batch *batch) {
    assert_true(srv_queue_take(queue, batch));
    size_t n = batch->count;
    for (size_t i = 0; i < n; i++) {
        float *value = malloc(sizeof *value);
        assert_non_null(value);
        *value = (float)batch->entries[i]->key[0];
        batch->answers[i] = value;
    }
    srv_queue_finish(queue, batch, RETORT_OK);
    return n;
}

static void check_answers(srv_queue *queue, request *r, int first) {
    assert_int_equal(r->job.end, SRV_END_DONE);
    for (size_t i = 0; i < r->job.count; i++)
        assert_true(*(const float *)r->items[i].entry->answer == (float)(first + (int)i));
    srv_queue_release(queue, &r->job);
}

static void admits_whole_requests(void **unused) {
    (void)unused;
    srv_queue queue;
    srv_entry *entries[8];
    void *answers[8];
    srv_batch batch = {.entries = entries, .answers = answers};
    request a, b, c;
    double wait;
    open_queue(&queue, 0);
    make_request(&a, 0, 10, 4);
    make_request(&b, 100, 7, 4);
    make_request(&c, 200, 6, 4);
    assert_int_equal(srv_queue_submit(&queue, &a.job, &wait), SRV_ADMITTED);
    assert_int_equal(srv_queue_submit(&queue, &b.job, &wait), SRV_REFUSED_TOKENS); /* 68 of 64 */
    assert_true(wait > 0 && queue.tokens == 40 && queue.jobs == 1 && held == 1);
    srv_queue_release(&queue, &b.job);
    assert_int_equal(srv_queue_submit(&queue, &c.job, &wait), SRV_ADMITTED);
    assert_int_equal(queue.tokens, 64);
    for (int i = 0; i < 4; i++) assert_int_equal(run_batch(&queue, &batch), 4);
    assert_true(ended == 2 && queue.tokens == 0 && queue.jobs == 0 && queue.waiting == 0);
    check_answers(&queue, &a, 0);
    check_answers(&queue, &c, 200);
    srv_queue_free(&queue);
}

static void takes_jobs_in_turn(void **unused) {
    (void)unused;
    srv_queue queue;
    srv_entry *entries[8];
    void *answers[8];
    srv_batch batch = {.entries = entries, .answers = answers};
    request a, b;
    double wait;
    open_queue(&queue, 0);
    make_request(&a, 0, 12, 4);
    make_request(&b, 100, 1, 4);
    srv_queue_submit(&queue, &a.job, &wait);
    assert_int_equal(run_batch(&queue, &batch), 4); /* nobody else waits: all of the batch */
    srv_queue_submit(&queue, &b.job, &wait);
    assert_int_equal(run_batch(&queue, &batch), 4);
    assert_true(b.job.end == SRV_END_DONE && a.job.end == SRV_END_NONE);
    check_answers(&queue, &b, 100);
    while (a.job.end == SRV_END_NONE) run_batch(&queue, &batch);
    check_answers(&queue, &a, 0);
    srv_queue_free(&queue);
}

/* Two workers and a team: who takes what. */
static void shares_what_is_in_flight(void **unused) {
    (void)unused;
    srv_queue queue;
    srv_entry *entries[3][8];
    void *answers[3][8];
    srv_batch batches[3];
    request r[4];
    double wait;
    open_queue(&queue, 0);
    queue.limits.workers = 2;
    queue.limits.team = true;
    for (int i = 0; i < 3; i++) batches[i] = (srv_batch){.entries = entries[i], .answers = answers[i]};
    for (int i = 0; i < 4; i++) make_request(&r[i], 100 * i, 2, 2);
    srv_queue_submit(&queue, &r[0].job, &wait);
    assert_int_equal(run_batch(&queue, &batches[0]), 2); /* alone: all of it, by the team */
    assert_true(batches[0].alone && !queue.teamed && queue.running == 0);
    for (int i = 1; i < 4; i++) srv_queue_submit(&queue, &r[i].job, &wait);
    for (int i = 0; i < 2;
         i++) { /* 12 tokens: the two take a quarter each, and leave the rest to who is first */
        assert_true(srv_queue_take(&queue, &batches[i]));
        assert_true(!batches[i].alone && batches[i].count == 2 && queue.running == (i == 0 ? 4 : 8));
        for (size_t k = 0; k < 2; k++) batches[i].answers[k] = calloc(1, sizeof(float));
    }
    srv_queue_finish(&queue, &batches[0], RETORT_OK);
    assert_int_equal(run_batch(&queue, &batches[2]), 1); /* 8 are left; one job, but another batch runs */
    assert_false(batches[2].alone);
    assert_int_equal(run_batch(&queue, &batches[2]), 1);
    srv_queue_finish(&queue, &batches[1], RETORT_OK);
    assert_true(queue.running == 0 && ended == 4);
    for (int i = 0; i < 4; i++) srv_queue_release(&queue, &r[i].job);
    srv_queue_free(&queue);
}

static void shares_and_keeps_answers(void **unused) {
    (void)unused;
    srv_queue queue;
    srv_entry *entries[8];
    void *answers[8];
    srv_batch batch = {.entries = entries, .answers = answers};
    request a, b, c;
    double wait;
    open_queue(&queue, 2);
    make_request(&a, 0, 2, 4);
    make_request(&b, 1, 2, 4); /* texts 1 and 2: 1 is in flight */
    srv_queue_submit(&queue, &a.job, &wait);
    srv_queue_submit(&queue, &b.job, &wait);
    assert_int_equal(queue.tokens, 12);
    assert_int_equal(run_batch(&queue, &batch), 3);
    check_answers(&queue, &a, 0);
    check_answers(&queue, &b, 1);
    make_request(&c, 1, 2, 4);
    assert_int_equal(srv_queue_submit(&queue, &c.job, &wait), SRV_ANSWERED);
    check_answers(&queue, &c, 1);
    make_request(&c, 0, 1, 4); /* the oldest of three has left */
    assert_int_equal(srv_queue_submit(&queue, &c.job, &wait), SRV_ADMITTED);
    run_batch(&queue, &batch);
    check_answers(&queue, &c, 0);
    assert_int_equal(queue.cached, 2);
    srv_queue_free(&queue);
}

static void forgets_who_left(void **unused) {
    (void)unused;
    srv_queue queue;
    srv_entry *entries[8];
    void *answers[8];
    srv_batch batch = {.entries = entries, .answers = answers};
    request a, b;
    double wait;
    open_queue(&queue, 0);
    make_request(&a, 0, 3, 4);
    make_request(&b, 2, 2, 4);
    a.job.deadline = srv_now() - 1;
    srv_queue_submit(&queue, &a.job, &wait);
    srv_queue_submit(&queue, &b.job, &wait);
    assert_int_equal(run_batch(&queue, &batch), 2); /* text 2 is still b's */
    assert_true(a.job.end == SRV_END_DEADLINE && ended == 2 && queue.tokens == 0);
    check_answers(&queue, &b, 2);
    srv_queue_release(&queue, &a.job);
    make_request(&a, 0, 3, 4);
    srv_queue_submit(&queue, &a.job, &wait);
    srv_queue_drop(&queue, SRV_END_DRAINED);
    assert_true(a.job.end == SRV_END_DRAINED && queue.tokens == 0 && queue.jobs == 0);
    srv_queue_release(&queue, &a.job);
    make_request(&a, 0, 2, 4);
    srv_queue_submit(&queue, &a.job, &wait);
    assert_true(srv_queue_take(&queue, &batch));
    srv_queue_finish(&queue, &batch, RETORT_NONFINITE);
    assert_int_equal(a.job.end, SRV_END_FAILED);
    assert_int_equal(a.job.error, RETORT_NONFINITE);
    srv_queue_release(&queue, &a.job);
    srv_queue_close(&queue);
    assert_false(srv_queue_take(&queue, &batch));
    make_request(&a, 0, 1, 4);
    assert_int_equal(srv_queue_submit(&queue, &a.job, &wait), SRV_CLOSED);
    srv_queue_release(&queue, &a.job);
    srv_queue_free(&queue);
}

static void foresees_deadlines(void **unused) {
    (void)unused;
    srv_queue queue;
    srv_entry *entries[8];
    void *answers[8];
    srv_batch batch = {.entries = entries, .answers = answers};
    request a, b;
    double wait;
    open_queue(&queue, 0);
    make_request(&a, 0, 10, 4);
    make_request(&b, 100, 1, 4);
    queue.rate = 10; /* tokens a second: a takes four seconds */
    srv_queue_submit(&queue, &a.job, &wait);
    b.job.deadline = srv_now() + 1000000000;
    assert_int_equal(srv_queue_submit(&queue, &b.job, &wait), SRV_REFUSED_LATE);
    assert_true(wait > 2.5 && wait < 3.5);
    srv_queue_release(&queue, &b.job);
    while (a.job.end == SRV_END_NONE) run_batch(&queue, &batch);
    check_answers(&queue, &a, 0);
    srv_queue_free(&queue);
}

/* ---- States ---- */

/* From every state signals lead down, never back, and two of them are enough. */
static void signals_lead_down(void **unused) {
    (void)unused;
    for (int from = 0; from < SRV_STATE_COUNT; from++) {
        srv_state once = srv_step_from((srv_state)from, SRV_ON_TERM).next;
        srv_state twice = srv_step_from(once, SRV_ON_TERM).next;
        assert_true(from == SRV_STATE_STARTING ? once == SRV_STATE_STOPPED : once >= SRV_STATE_DRAINING);
        assert_true(twice >= SRV_STATE_CUTTING);
        assert_int_equal(srv_step_from(twice, SRV_ON_TERM).next, SRV_STATE_STOPPED);
        for (int event = 0; event < SRV_EVENT_COUNT; event++) {
            srv_step step = srv_step_from((srv_state)from, (srv_event)event);
            if (from >= SRV_STATE_DRAINING) assert_true((int)step.next >= from);
            assert_true(step.next != SRV_STATE_STARTING || from == SRV_STATE_STARTING);
            assert_true(step.action != SRV_DO_DRAIN || step.next == SRV_STATE_DRAINING);
        }
        bool asks = srv_step_from((srv_state)from, SRV_ON_HUP).action == SRV_DO_ASK;
        assert_int_equal(asks, from < SRV_STATE_DRAINING);
        assert_int_equal(srv_step_from((srv_state)from, SRV_ON_HUP).next, from);
    }
    for (srv_state at = SRV_STATE_DRAINING, n = 0; at != SRV_STATE_STOPPED;
         n++) { /* time alone ends it, too */
        assert_true(n < SRV_STATE_COUNT);
        at = srv_step_from(at, SRV_ON_LATE).next;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_json),
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(bounds_what_a_body_makes),
        cmocka_unit_test(writes_json),
        cmocka_unit_test(floats_come_back),
        cmocka_unit_test(admits_whole_requests),
        cmocka_unit_test(takes_jobs_in_turn),
        cmocka_unit_test(shares_what_is_in_flight),
        cmocka_unit_test(shares_and_keeps_answers),
        cmocka_unit_test(forgets_who_left),
        cmocka_unit_test(foresees_deadlines),
        cmocka_unit_test(signals_lead_down),
    };
    return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
