/* SPDX-License-Identifier: Apache-2.0
 * A small pool: one parallel region at a time, the caller is worker 0, waits spin for a bounded time and then
 * sleep, and an idle pool costs no CPU. */
#ifndef RT_BASE_THREAD_H
#define RT_BASE_THREAD_H

#include "base/error.h"
#include "base/memory.h"

typedef struct rt_pool rt_pool;
enum { RT_THREADS_MOST = 1024 };

/* `threads` >= 1, the caller included: threads - 1 are started. */
retort_status rt_pool_open(rt_pool **out, int threads, retort_error *err);
void rt_pool_close(rt_pool *pool);
int rt_pool_threads(const rt_pool *pool);

/* Calls work(user, worker) once for each worker 0…threads-1, and returns when all are done. No allocation, no
 * lock. One caller at a time. */
void rt_pool_run(rt_pool *pool, void (*work)(void *user, int worker), void *user);
/* Inside a region: waits until every worker of the pool has called it. What was written before
 * is seen after. */
void rt_pool_barrier(rt_pool *pool);

/* Part `part` of `parts` of n items, in multiples of `unit` but for the last. */
typedef struct rt_range {
    size_t from, to;
} rt_range;
static inline rt_range rt_share(size_t n, size_t unit, int part, int parts) {
    size_t units = (n + unit - 1) / unit, of = (size_t)parts, at = (size_t)part;
    return (rt_range){rt_min(units * at / of * unit, n), rt_min(units * (at + 1) / of * unit, n)};
}

#endif
