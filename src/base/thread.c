/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Waits spin this long before they sleep: longer than any gap between two steps of a forward pass (a few µs),
 * but short enough that an idle pool goes to sleep unnoticed. */
enum { SPIN_NS = 50 * 1000, SPIN_BATCH = 64 };

typedef void (*rt_help_fn)(void *user, int worker);

struct rt_thread_pool {
    rt_futex_word start;              /* changes when there is a region to run, or help is asked for */
    _Alignas(64) atomic_uint region;  /* number of the current region */
    rt_futex_word done;               /* number of the last finished region */
    rt_futex_word phase;              /* number of the last passed barrier */
    _Alignas(64) atomic_uint working; /* workers still inside the region */
    _Alignas(64) atomic_uint arrived; /* workers at the barrier */
    _Alignas(64) void (*work)(void *user, int worker);
    void *user;
    _Alignas(64) _Atomic(rt_help_fn) help; /* what workers do between regions, or NULL */
    void *help_user;
    atomic_uint helping; /* workers that may be in it */
    atomic_bool closing;
    int threads, started;
    struct rt_worker {
        pthread_t thread;
        rt_thread_pool *pool;
        int index;
    } * workers;
};

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int64_t rt_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool rt_futex_spin(rt_futex_word *word, unsigned old) {
    int64_t limit = 0;
    for (;;) {
        for (int i = 0; i < SPIN_BATCH; i++) {
            if (atomic_load_explicit(&word->value, memory_order_acquire) != old) return true;
            relax();
        }
        int64_t now = rt_now_ns();
        if (limit == 0) limit = now + SPIN_NS;
        if (now >= limit) return false;
    }
}

void rt_futex_wait(rt_futex_word *word, unsigned old) {
    if (rt_futex_spin(word, old)) return;
    atomic_fetch_add(&word->sleepers, 1);
    while (atomic_load(&word->value) == old) {
        syscall(SYS_futex, &word->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    }
    atomic_fetch_sub(&word->sleepers, 1);
}

void rt_futex_wake(rt_futex_word *word) {
    if (atomic_load(&word->sleepers) > 0)
        syscall(SYS_futex, &word->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void change(rt_futex_word *word) {
    atomic_fetch_add(&word->value, 1);
    rt_futex_wake(word);
}

static void help(rt_thread_pool *pool, int index) {
    atomic_fetch_add(&pool->helping, 1);
    rt_help_fn function = atomic_load(&pool->help);
    if (function != NULL) function(pool->help_user, index);
    atomic_fetch_sub(&pool->helping, 1);
}

/* A region waits for all its workers, so that none is missed. */
static void *worker_main(void *argument) {
    struct rt_worker *self = argument;
    rt_thread_pool *pool = self->pool;
    for (unsigned seen = 0, region = 0;;) {
        rt_futex_wait(&pool->start, seen);
        seen = atomic_load(&pool->start.value);
        if (atomic_load(&pool->closing)) return NULL;
        if (atomic_load(&pool->region) == region) {
            help(pool, self->index);
            continue;
        }
        region++;
        pool->work(pool->user, self->index);
        if (atomic_fetch_sub(&pool->working, 1) == 1) change(&pool->done);
    }
}

retort_status rt_thread_pool_open(rt_thread_pool **out, int threads, retort_error *err) {
    rt_thread_pool *pool = rt_alloc_aligned(sizeof *pool);
    if (pool == NULL) return rt_fail_nomem(err, sizeof *pool);
    memset(pool, 0, sizeof *pool);
    pool->threads = threads;
    pool->workers = rt_calloc((size_t)threads, sizeof *pool->workers);
    if (pool->workers == NULL) {
        rt_thread_pool_close(pool);
        return rt_fail_nomem(err, (size_t)threads * sizeof *pool->workers);
    }
    for (int i = 1; i < threads; i++) {
        pool->workers[i] = (struct rt_worker){.pool = pool, .index = i};
        int failed = pthread_create(&pool->workers[i].thread, NULL, worker_main, &pool->workers[i]);
        if (failed != 0) {
            rt_thread_pool_close(pool);
            return rt_fail(err, RETORT_LIMIT, "thread %d of %d cannot be started: %s", i + 1, threads,
                           strerror(failed));
        }
        pool->started = i;
    }
    *out = pool;
    return RETORT_OK;
}

void rt_thread_pool_close(rt_thread_pool *pool) {
    if (pool == NULL) return;
    atomic_store(&pool->closing, true);
    change(&pool->start);
    for (int i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    free(pool);
}

int rt_thread_pool_size(const rt_thread_pool *pool) {
    return pool->threads;
}

void rt_thread_pool_run(rt_thread_pool *pool, void (*work)(void *user, int worker), void *user) {
    if (pool->threads == 1) {
        work(user, 0);
        return;
    }
    unsigned finished = atomic_load_explicit(&pool->done.value, memory_order_relaxed);
    pool->work = work;
    pool->user = user;
    atomic_store(&pool->working, (unsigned)pool->threads);
    atomic_fetch_add(&pool->region, 1);
    change(&pool->start);
    work(user, 0);
    if (atomic_fetch_sub(&pool->working, 1) == 1) {
        change(&pool->done);
    } else {
        rt_futex_wait(&pool->done, finished);
    }
}

void rt_thread_pool_barrier(rt_thread_pool *pool) {
    if (pool->threads == 1) return;
    unsigned phase = atomic_load_explicit(&pool->phase.value, memory_order_relaxed);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == (unsigned)pool->threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        change(&pool->phase);
    } else {
        rt_futex_wait(&pool->phase, phase);
    }
}

void rt_thread_pool_set_help(rt_thread_pool *pool, void (*function)(void *user, int worker), void *user) {
    atomic_store(&pool->help, (rt_help_fn)NULL);
    while (atomic_load(&pool->helping) > 0) sched_yield(); /* it ends by itself, soon */
    pool->help_user = user;
    atomic_store(&pool->help, function);
}

bool rt_thread_leave_core(int core) {
    cpu_set_t all, others;
    if (core < 0 || core >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all) != 0) return false;
    others = all;
    CPU_CLR((size_t)core, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return false;
    return sched_setaffinity(0, sizeof all, &all) == 0;
}

void rt_thread_pool_call(rt_thread_pool *pool) {
    change(&pool->start);
}
