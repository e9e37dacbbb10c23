/* SPDX-License-Identifier: Apache-2.0
 * A small pool: one parallel region at a time, the caller is worker 0, waits spin for a bounded time and then
 * sleep, and an idle pool costs no CPU. */
#ifndef RT_BASE_THREAD_H
#define RT_BASE_THREAD_H

#include "base/error.h"

typedef struct rt_pool rt_pool;
enum { RT_THREADS_MOST = 1024 };

/* `threads` >= 1, the caller included: threads - 1 are started. */
retort_status rt_pool_open(rt_pool **out, int threads, retort_error *err);
void rt_pool_close(rt_pool *pool);
int rt_pool_threads(const rt_pool *pool);

/* Calls work(user, worker) once for each worker 0…threads-1, and returns when all are done. No allocation, no
 * lock. One caller at a time. */
void rt_pool_run(rt_pool *pool, void (*work)(void *user, int worker), void *user);
/* Inside a region: waits until every worker of the pool has called it. What was written before is seen after.
 */
void rt_pool_barrier(rt_pool *pool);

#endif
