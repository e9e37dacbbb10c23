/* SPDX-License-Identifier: Apache-2.0
 * A small thread pool: one parallel region at a time, the caller is worker 0. Waits spin for a bounded time,
 * then sleep; an idle pool uses no CPU. */
#ifndef RT_BASE_THREAD_H
#define RT_BASE_THREAD_H

#include "base/error.h"
#include "base/memory.h"

#include <stdatomic.h>

typedef struct rt_thread_pool rt_thread_pool;
enum { RT_MAX_THREADS = 1024 };

/* `threads` >= 1 includes the caller: starts threads - 1. */
retort_status rt_thread_pool_open(rt_thread_pool **out, int threads, retort_error *err);
void rt_thread_pool_close(rt_thread_pool *pool);
int rt_thread_pool_size(const rt_thread_pool *pool);

/* Calls work(user, worker) once for each worker 0…threads-1 and returns when all are done. No allocation, no
 * lock. One caller at a time. */
void rt_thread_pool_run(rt_thread_pool *pool, void (*work)(void *user, int worker), void *user);
/* Inside a region: waits until every worker of the pool has called it. Earlier writes are visible after it. */
void rt_thread_pool_barrier(rt_thread_pool *pool);

/* ---- Help that comes when it can ---- */

/* A value that threads wait for: they spin for a bounded time, then sleep. Each has its own cache line: sharing one makes
 * a barrier 20 % slower. */
typedef struct rt_futex_word {
    _Alignas(64) atomic_uint value;
    atomic_uint sleepers;
} rt_futex_word;
/* Waits until `word` differs from `old`. */
void rt_futex_wait(rt_futex_word *word, unsigned old);
/* The same, but for as long as a wait spins; false: it is still `old`. */
bool rt_futex_spin(rt_futex_word *word, unsigned old);
/* After a change of the value: wakes who sleeps. */
void rt_futex_wake(rt_futex_word *word);

/* Makes `help` what workers do between regions, from the next call on: help(user, worker) returns when there is nothing to
 * do. One helper function at a time; NULL: none, and when it returns, no worker is in the one before. */
void rt_thread_pool_set_help(rt_thread_pool *pool, void (*help)(void *user, int worker), void *user);
/* Calls for help; returns at once. Workers come when the system lets them run, or not at all. */
void rt_thread_pool_call(rt_thread_pool *pool);

/* Moves the calling thread from this core to another one that it may use. It may come back at any time. False: there is no
 * other, or the system refuses. */
bool rt_thread_leave_core(int core);

/* Nanoseconds of a clock that only goes forward. */
int64_t rt_now_ns(void);
/* The same in seconds. */
static inline double rt_seconds(void) {
    return 1e-9 * (double)rt_now_ns();
}

/* Part `part` of `parts` of n items; all but the last are multiples of `unit`. */
typedef struct rt_range {
    size_t from, to;
} rt_range;
static inline rt_range rt_share(size_t n, size_t unit, int part, int parts) {
    size_t units = (n + unit - 1) / unit, of = (size_t)parts, at = (size_t)part;
    return (rt_range){rt_min(units * at / of * unit, n), rt_min(units * (at + 1) / of * unit, n)};
}

#endif
