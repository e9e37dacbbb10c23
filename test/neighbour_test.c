/* SPDX-License-Identifier: Apache-2.0
 * Two threads on cores that others use too: busy loops, as many as there are cores, for the time of the test. */
#include "quant_models.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { RUNS = 300, LENGTH = 24, MOST_LOOPS = 64 };

static atomic_bool stop;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Ends by itself after ten seconds. */
static void *be_busy(void *unused) {
    (void)unused;
    for (int64_t end = now_ns() + INT64_C(10000000000); !atomic_load(&stop) && now_ns() < end;) continue;
    return NULL;
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t run_ns(retort_session *session) {
    static int32_t ids[LENGTH];
    static const int32_t offsets[] = {0, LENGTH};
    const retort_batch batch = {.ids = ids, .offsets = offsets, .n = 1};
    retort_matrix out;
    retort_error err = {0};
    for (int i = 0; i < LENGTH; i++) ids[i] = 5 + i;
    int64_t from = now_ns();
    if (retort_run(session, &batch, &out, &err) != RETORT_OK) fail_msg("%s", err.text);
    return now_ns() - from;
}

/* One text: every step is shared. A helper that has to wait for its turn on a core would cost milliseconds per step, in every
 * run. The lower quartile of the runs shows that; the system stops so many of the others, even with one thread, that their
 * median differs from test to test. */
static void test_helpers_are_not_waited_for(void **state) {
    (void)state;
    static int64_t times[2][RUNS];
    retort_model *model = golden("bert-wide", 3, RETORT_F32);
    retort_session *sessions[2];
    retort_error err = {0};
    pthread_t loops[MOST_LOOPS];
    int count = (int)sysconf(_SC_NPROCESSORS_ONLN), started = 0;
    for (int i = 0; i < 2; i++) {
        retort_session_options options = RETORT_SESSION_OPTIONS;
        options.threads = i + 1;
        if (retort_session_open(&sessions[i], model, &options, &err) != RETORT_OK) fail_msg("%s", err.text);
    }
    atomic_store(&stop, false);
    while (started < count && started < MOST_LOOPS &&
           pthread_create(&loops[started], NULL, be_busy, NULL) == 0)
        started++;
    for (int k = 0; k < RUNS; k++) {
        for (int i = 0; i < 2; i++) times[i][k] = run_ns(sessions[i]);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < started; i++) pthread_join(loops[i], NULL);
    for (int i = 0; i < 2; i++) {
        qsort(times[i], RUNS, sizeof **times, compare);
        retort_session_close(sessions[i]);
    }
    retort_model_free(model);
    int64_t one = times[0][RUNS / 4], two = times[1][RUNS / 4];
    print_message("one thread %.0f us, two %.0f us (lower quartiles)\n", (double)one * 1e-3,
                  (double)two * 1e-3);
    assert_true(two < 2 * one + 50000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_helpers_are_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
