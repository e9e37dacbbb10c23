/* SPDX-License-Identifier: Apache-2.0
 * What retort load rests on: its percentiles, and its reading of answers. */
#include "load/answer.h"
#include "load/histogram.h"
#include "load/reason.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static load_histogram *histogram(void) {
    load_histogram *h = calloc(1, sizeof *h);
    assert_non_null(h);
    return h;
}

/* A value comes back no smaller, and larger by less than 1/128; the largest one exactly. */
static void bins_are_narrow(void **state) {
    const uint64_t most = (UINT64_C(1) << 41) - 1;
    (void)state;
    for (uint64_t value = 0; value < most / 2; value += value / 5 + 1) {
        load_histogram *h = histogram();
        load_histogram_add(h, value);
        load_histogram_add(h, most);
        double back = load_histogram_ms(h, 50) * 1e6;
        assert_true(back >= (double)value - 1e-6 * (double)value);
        assert_true(back <= (double)value * (1 + 1.0 / 128) + 1);
        assert_true(fabs(load_histogram_ms(h, 100) * 1e6 - (double)most) < 1);
        free(h);
    }
}

static void percentiles_are_ranks(void **state) {
    load_histogram *h = histogram();
    (void)state;
    assert_true(isnan(load_histogram_ms(h, 50)));
    for (uint64_t i = 1; i <= 1000; i++) load_histogram_add(h, i * 1000000);
    for (double p = 0.1; p <= 100; p += 0.1) {
        double ms = load_histogram_ms(h, p), exact = ceil(p * 10 - 1e-9);
        assert_true(ms >= exact && ms <= exact * (1 + 1.0 / 128) + 1);
    }
    assert_true(h->count == 1000 && fabs(h->sum - 500500e6) < 1);
    load_histogram_add(h, UINT64_MAX); /* beyond the last bin */
    assert_true(load_histogram_ms(h, 100) > 1000);
    free(h);
}

static bool read_answer(load_answer *answer, const char *text, size_t *left) {
    size_t taken = 0, length = strlen(text);
    *answer = (load_answer){0};
    bool fine = load_answer_take(answer, text, length, &taken);
    *left = length - taken;
    return fine;
}

static void answers_end_where_they_say(void **state) {
    static const struct {
        const char *text;
        int status;
        bool keep;
        size_t left; /* bytes behind the answer */
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP", 200, true, 4},
        {"HTTP/1.1 200 OK\nCONTENT-length:\t2 \n\nab", 200, true, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\nx", 200, false, 1},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", 200, true, 0},
        {"HTTP/1.1 429 No\r\nTransfer-Encoding: chunked\r\n\r\nA;x\r\n0123456789\r\n0\r\na: b\r\n\r\n", 429,
         true, 0},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", 503, true, 0},
        {"HTTP/1.1 204 No Content\r\n\r\nab", 204, true, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        load_answer answer;
        size_t left;
        assert_true(read_answer(&answer, rows[i].text, &left));
        assert_int_equal(answer.stage, LOAD_COMPLETE);
        assert_int_equal(answer.status, rows[i].status);
        assert_int_equal(answer.keep, rows[i].keep);
        assert_int_equal(left, rows[i].left);
    }
}

static void what_is_not_http_is_refused(void **state) {
    static const char *const texts[] = {
        "SSH-2.0\r\n",
        "HTTP/2 200\r\n",
        "HTTP/1.1 20 OK\r\n",
        "HTTP/1.1 600 OK\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        load_answer answer;
        size_t left;
        assert_false(read_answer(&answer, texts[i], &left));
    }
}

static void a_body_may_end_with_its_connection(void **state) {
    load_answer whole, sized, chunked;
    size_t left;
    (void)state;
    assert_true(read_answer(&whole, "HTTP/1.1 200 OK\r\n\r\nabcd", &left));
    assert_int_equal(whole.stage, LOAD_TO_THE_END);
    assert_true(load_answer_end(&whole) && !whole.keep);
    assert_true(read_answer(&sized, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", &left));
    assert_true(read_answer(
        &chunked, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n",
        &left));
    assert_true(whole.hash == sized.hash && sized.hash == chunked.hash);
    assert_true(read_answer(&sized, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd", &left));
    assert_false(load_answer_end(&sized));
}

static void errors_say_why(void **state) {
    static const char *const rows[][3] = {
        {"{\"error\":\"full, 8 of 8\",\"error_type\":\"overloaded\"}", "overloaded", "full, 8 of 8"},
        {"{\"error\":{\"message\":\"no\",\"type\":\"bad\"}}", "bad", "no"},
        {"{\"error\":{\"message\":\"no\"}}", "no", "no"},
        {"{\"error\":\"no such model\"}", "no such model", "no such model"},
        {"<html>\n\033[31m</html>", "<html>  [31m</html>", "<html>  [31m</html>"},
        {"", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        load_answer answer = {.status = 500, .body_length = strlen(rows[i][0])};
        load_reason reason;
        memcpy(answer.body, rows[i][0], answer.body_length);
        load_read_reason(&reason, &answer);
        assert_string_equal(reason.text, rows[i][1]);
        load_read_message(&reason, &answer);
        assert_string_equal(reason.text, rows[i][2]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_are_narrow),
        cmocka_unit_test(percentiles_are_ranks),
        cmocka_unit_test(answers_end_where_they_say),
        cmocka_unit_test(what_is_not_http_is_refused),
        cmocka_unit_test(a_body_may_end_with_its_connection),
        cmocka_unit_test(errors_say_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
