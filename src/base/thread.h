/* SPDX-License-Identifier: Apache-2.0
 * A small thread pool: one parallel region at a time, the caller is worker 0. Waits spin for a bounded time,
 * then sleep; an idle pool uses no CPU. */
#ifndef RT_BASE_THREAD_H
#define RT_BASE_THREAD_H

#include "base/error.h"
#include "base/memory.h"

typedef struct rt_thread_pool rt_thread_pool;
enum { RT_THREADS_MOST = 1024 };

/* `threads` >= 1 includes the caller: starts threads - 1. */
retort_status rt_thread_pool_open(rt_thread_pool **out, int threads, retort_error *err);
void rt_thread_pool_close(rt_thread_pool *pool);
int rt_thread_pool_size(const rt_thread_pool *pool);

/* Calls work(user, worker) once for each worker 0…threads-1 and returns when all are done. No allocation, no
 * lock. One caller at a time. */
void rt_thread_pool_run(rt_thread_pool *pool, void (*work)(void *user, int worker), void *user);
/* Inside a region: waits until every worker of the pool has called it. Earlier writes are visible after it. */
void rt_thread_pool_barrier(rt_thread_pool *pool);

/* Part `part` of `parts` of n items; all but the last are multiples of `unit`. */
typedef struct rt_range {
    size_t from, to;
} rt_range;
static inline rt_range rt_share(size_t n, size_t unit, int part, int parts) {
    size_t units = (n + unit - 1) / unit, of = (size_t)parts, at = (size_t)part;
    return (rt_range){rt_min(units * at / of * unit, n), rt_min(units * (at + 1) / of * unit, n)};
}

#endif
