/* SPDX-License-Identifier: Apache-2.0
 * Streams of the command line: nobody waits for one that another process keeps from running, and parts come back in
 * their order. */
#include "cli/streams.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A stream that is stopped in the middle of the part `stops_at`, until `runs` others have run or a minute is over. */
typedef struct bench {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t stops_at, runs, wanted, opened, closed;
    bool in_time;
} bench;

static cli_code open_worker(void *user, void **worker) {
    bench *b = user;
    pthread_mutex_lock(&b->lock);
    b->opened++;
    pthread_mutex_unlock(&b->lock);
    *worker = b;
    return CLI_DONE;
}

static void close_worker(void *worker) {
    if (worker != NULL) ((bench *)worker)->closed++;
}

static void stop(bench *b) {
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 60;
    int late = 0;
    while (b->runs < b->wanted && late == 0) late = pthread_cond_timedwait(&b->changed, &b->lock, &end);
    b->in_time = late == 0;
}

static cli_code run_part(void *worker, const cli_part *part) {
    bench *b = worker;
    pthread_mutex_lock(&b->lock);
    if (part->first == b->stops_at) stop(b);
    b->runs++;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    for (size_t i = 0; i < part->count; i++)
        fprintf(part->out, "%.*s\n", (int)part->texts[i].length, part->texts[i].text);
    if (part->first != 11) return CLI_DONE;
    cli_error("text %zu is bad", part->first + 1);
    return CLI_BAD_DATA;
}

static void put(cli_streams *streams, size_t number) {
    char text[16];
    retort_text one = {.text = text};
    cli_part *part = cli_streams_next(streams);
    one.length = (size_t)snprintf(text, sizeof text, "text %zu", number);
    assert_int_equal(cli_part_begin(part), CLI_DONE);
    part->texts = &one;
    part->count = 1;
    part->first = number;
    cli_streams_put(streams);
    memset(text, 'x', sizeof text); /* the part has copies */
}

static void take(cli_streams *streams, size_t number) {
    char expected[32];
    const cli_part *part = cli_streams_oldest(streams, true);
    snprintf(expected, sizeof expected, "text %zu\n", number);
    assert_int_equal(part->first, number);
    assert_string_equal(part->output, expected);
    assert_int_equal(part->code, number == 11 ? CLI_BAD_DATA : CLI_DONE);
    assert_string_equal(part->message, number == 11 ? "retort: text 12 is bad\n" : "");
    cli_streams_drop(streams);
}

/* One of two streams is stopped: the other one runs all that is put meanwhile. */
static void test_nobody_waits_for_a_stopped_stream(void **state) {
    (void)state;
    bench b = {.stops_at = 0, .wanted = 7};
    const cli_stream_calls calls = {open_worker, run_part, close_worker, &b};
    cli_streams *streams;
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.changed, NULL);
    assert_int_equal(cli_streams_open(&streams, 2, &calls), CLI_DONE);
    size_t put_count = 0, taken = 0;
    for (; !cli_streams_full(streams); put_count++) put(streams, put_count);
    assert_int_equal(put_count, 8); /* bounded */
    take(streams, taken++);
    assert_true(b.in_time);
    for (; put_count < 30; put_count++) {
        put(streams, put_count);
        if (cli_streams_full(streams)) take(streams, taken++);
    }
    while (taken < 30) take(streams, taken++);
    assert_int_equal(cli_streams_count(streams), 0);
    put(streams, put_count); /* forgotten */
    cli_streams_close(streams);
    assert_int_equal(b.opened, b.closed);
    pthread_cond_destroy(&b.changed);
    pthread_mutex_destroy(&b.lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_waits_for_a_stopped_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
