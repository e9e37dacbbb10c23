/* SPDX-License-Identifier: Apache-2.0
 * Distributes work. Workers take work, it is never assigned, so a worker on a slower core does less. The caller leads:
 * it posts the parts of a step, or whole chunks, takes some like any other worker, and at the end waits only for parts in
 * progress. A helper that another process keeps from running takes nothing, and nobody waits for it. */
#ifndef RT_ENGINE_SCHEDULE_H
#define RT_ENGINE_SCHEDULE_H

#include "engine/plan.h"

#include <stdatomic.h>

typedef struct rt_schedule {
    rt_thread_pool *pool; /* borrowed; NULL: the caller is the only worker */
    /* What is posted: its number, its parts, and how many of them are taken, in one word. */
    _Alignas(64) _Atomic(uint64_t) posted;
    rt_futex_word number;  /* of what was posted last; helpers wait for the next */
    rt_futex_word done;    /* parts of it that are done; the leader waits for all */
    const rt_step *step;   /* written by the leader before it posts; NULL: the parts are chunks */
    const rt_chunk *chunk; /* that the step is on, or the first of them */
} rt_schedule;

/* By the leader: posts a step of a chunk, or (step NULL) `count` chunks, and calls for help where there is more than one
 * part. At most RT_SCHEDULE_MOST chunks at a time. */
enum { RT_SCHEDULE_MOST = 32767 };
void rt_schedule_post(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, size_t count);
/* Takes parts of what is posted into worker->part and worker->end, of worker->parts. False: all are taken. */
bool rt_schedule_take(rt_schedule *schedule, rt_worker *worker);
/* The parts that the worker took are done. */
void rt_schedule_finish(rt_schedule *schedule, int taken, int parts);
/* By the leader: waits for parts in progress. Nanoseconds that it waited. */
int64_t rt_schedule_wait(rt_schedule *schedule);
/* By a helper: waits for a moment until something is posted after *seen. False: nothing is. */
bool rt_schedule_follow(rt_schedule *schedule, unsigned *seen);

#endif
