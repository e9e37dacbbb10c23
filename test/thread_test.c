/* SPDX-License-Identifier: Apache-2.0
 * The thread pool of src/base: regions, barriers, what an idle pool costs, many openings. */
#include "base/thread.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 8 };

typedef struct region {
    rt_thread_pool *pool;
    int calls[MOST]; /* plain ints: a region's writes must be visible after it */
    pthread_t ran_on[MOST];
} region;

static void count_call(void *user, int worker) {
    region *r = user;
    r->calls[worker]++;
    r->ran_on[worker] = pthread_self();
}

static void every_worker_runs_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= MOST; threads++) {
        region r = {0};
        assert_int_equal(rt_thread_pool_open(&r.pool, threads, NULL), RETORT_OK);
        assert_int_equal(rt_thread_pool_size(r.pool), threads);
        for (int i = 1; i <= 2000; i++) {
            rt_thread_pool_run(r.pool, count_call, &r);
            for (int w = 0; w < threads; w++) assert_int_equal(r.calls[w], i);
        }
        for (int w = threads; w < MOST; w++) assert_int_equal(r.calls[w], 0);
        assert_true(pthread_equal(r.ran_on[0], pthread_self())); /* the caller is worker 0 */
        for (int w = 1; w < threads; w++) assert_false(pthread_equal(r.ran_on[w], r.ran_on[w - 1]));
        rt_thread_pool_close(r.pool);
    }
}

enum { PHASES = 300 };

typedef struct relay {
    rt_thread_pool *pool;
    int threads;
    int values[MOST];
    atomic_int wrong;
} relay;

/* Each phase a worker takes its right neighbour's value plus one; a barrier lost shows as a wrong value. */
static void pass_on(void *user, int worker) {
    relay *r = user;
    for (int phase = 0; phase < PHASES; phase++) {
        int taken = r->values[(worker + 1) % r->threads];
        rt_thread_pool_barrier(r->pool);
        if (taken != phase) atomic_fetch_add(&r->wrong, 1);
        r->values[worker] = taken + 1;
        rt_thread_pool_barrier(r->pool);
    }
}

static void barriers_hold(void **state) {
    (void)state;
    for (int threads = 1; threads <= MOST; threads += threads < 4 ? 1 : 4) {
        relay r = {.threads = threads};
        assert_int_equal(rt_thread_pool_open(&r.pool, threads, NULL), RETORT_OK);
        for (int round = 0; round < 3; round++) {
            memset(r.values, 0, sizeof r.values);
            rt_thread_pool_run(r.pool, pass_on, &r);
            for (int w = 0; w < threads; w++) assert_int_equal(r.values[w], PHASES);
        }
        assert_int_equal(atomic_load(&r.wrong), 0);
        rt_thread_pool_close(r.pool);
    }
}

static void sleep_one(void *user, int worker) {
    if (worker == *(int *)user) nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
}

/* Waits longer than the spin: the sleeping path of both sides is taken. */
static void late_workers_are_waited_for(void **state) {
    (void)state;
    rt_thread_pool *pool;
    assert_int_equal(rt_thread_pool_open(&pool, 3, NULL), RETORT_OK);
    for (int late = 0; late < 3; late++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        rt_thread_pool_run(pool, sleep_one, &late);
        clock_gettime(CLOCK_MONOTONIC, &to);
        long ns = (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec;
        assert_true(ns >= 3000000);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    rt_thread_pool_close(pool);
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void an_idle_pool_costs_nothing(void **state) {
    (void)state;
    region r = {0};
    assert_int_equal(rt_thread_pool_open(&r.pool, 4, NULL), RETORT_OK);
    rt_thread_pool_run(r.pool, count_call, &r);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* spins are over */
    double before = cpu_seconds();
    nanosleep(&(struct timespec){.tv_nsec = 900000000}, NULL);
    double used = cpu_seconds() - before;
    if (used > 0.009) fail_msg("three idle workers used %.1f ms of CPU in 900 ms", used * 1e3);
    rt_thread_pool_close(r.pool);
}

static void pools_open_and_close(void **state) {
    (void)state;
    for (int i = 0; i < 400; i++) {
        region r = {0};
        assert_int_equal(rt_thread_pool_open(&r.pool, 1 + i % MOST, NULL), RETORT_OK);
        if (i % 3 == 0) rt_thread_pool_run(r.pool, count_call, &r);
        rt_thread_pool_close(r.pool);
    }
    rt_thread_pool_close(NULL);
}

static void *own_pool(void *unused) {
    (void)unused;
    region r = {0};
    if (rt_thread_pool_open(&r.pool, 3, NULL) != RETORT_OK) return NULL;
    for (int i = 0; i < 500; i++) rt_thread_pool_run(r.pool, count_call, &r);
    rt_thread_pool_close(r.pool);
    return r.calls[0] == 500 && r.calls[2] == 500 ? "done" : NULL;
}

static void pools_do_not_meet(void **state) {
    (void)state;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, own_pool, NULL), 0);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
}

/* In a child with little address space the stacks of 200 threads do not fit. */
static void a_thread_that_cannot_start_is_an_error(void **state) {
    (void)state;
    const char *sanitizer = getenv("RETORT_SANITIZER");
    if (sanitizer != NULL && strcmp(sanitizer, "none") != 0) skip(); /* they reserve terabytes */
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {256 << 20, 256 << 20};
        if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
        rt_thread_pool *pool = NULL;
        retort_error err = {0};
        retort_status status = rt_thread_pool_open(&pool, 200, &err);
        _exit(status == RETORT_LIMIT && pool == NULL && strstr(err.text, "of 200") != NULL ? 0 : 1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_runs_once),
        cmocka_unit_test(barriers_hold),
        cmocka_unit_test(late_workers_are_waited_for),
        cmocka_unit_test(an_idle_pool_costs_nothing),
        cmocka_unit_test(pools_open_and_close),
        cmocka_unit_test(pools_do_not_meet),
        cmocka_unit_test(a_thread_that_cannot_start_is_an_error),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
