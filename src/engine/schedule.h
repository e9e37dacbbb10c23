/* SPDX-License-Identifier: Apache-2.0
 * Distributes work. Workers take work, it is never assigned, so a worker on a slower core does less. The caller leads:
 * it posts the parts of a step, or whole chunks, takes some like any other worker, and at the end waits only for parts in
 * progress. A helper that another process keeps from running takes nothing, and nobody waits for it. If the system stops a
 * helper in the middle of a part, the leader does wait; that helper then rests for a while (rt_rest). */
#ifndef RT_ENGINE_SCHEDULE_H
#define RT_ENGINE_SCHEDULE_H

#include "engine/plan.h"

#include <stdatomic.h>

/* Whether a helper rests, because the system kept stopping it. Zero: it does not. */
typedef struct rt_rest {
    _Atomic(int64_t) until; /* of rt_now_ns; written by the leader, read by the helper */
    int64_t length;         /* of the last rest; nanoseconds */
    int64_t late_at;        /* when it was late last, or when its rest ended */
    int strikes;            /* how often it was late, each time soon after the one before */
} rt_rest;

typedef struct rt_schedule {
    rt_thread_pool *pool; /* borrowed; NULL: the caller is the only worker */
    atomic_int workers;   /* that may take parts: the caller, and helpers that do not rest */
    /* What is posted: its number, its parts, and how many of them are taken, in one word. */
    _Alignas(64) _Atomic(uint64_t) posted;
    rt_futex_word number;         /* of what was posted last; helpers wait for the next */
    rt_futex_word done;           /* parts of it that are done; the leader waits for all */
    const rt_step *step;          /* written by the leader before it posts; NULL: the parts are chunks */
    const rt_chunk *chunk;        /* that the step is on, or the first of them */
    int64_t posted_at;            /* when it was posted: of rt_now_ns, as all times here */
    atomic_int leader_core;       /* that the leader ran on when it posted */
    _Atomic(int64_t) waits_since; /* when the leader began to wait for parts in progress; 0: it does not */
} rt_schedule;

/* By the leader: posts a step of a chunk, or (step NULL) `count` chunks, and calls for help where there is more than one
 * part. At most RT_SCHEDULE_MOST chunks at a time. */
enum { RT_SCHEDULE_MOST = 32767 };
void rt_schedule_post(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, size_t count);
/* Takes parts of what is posted into worker->part and worker->end, of worker->parts. False: all are taken. */
bool rt_schedule_take(rt_schedule *schedule, rt_worker *worker);
/* The worker has done `taken` of `parts`. If the leader has been waiting for them for unusually long, worker->late says how
 * long. */
void rt_schedule_finish(rt_schedule *schedule, rt_worker *worker, int taken, int parts);
/* By the leader: waits for parts in progress. */
void rt_schedule_wait(rt_schedule *schedule);
/* By a helper: waits for a moment until something is posted after *seen. False: nothing is. */
bool rt_schedule_follow(rt_schedule *schedule, unsigned *seen);
/* By a helper: leaves the core of the leader, which does not run as long as the helper does. False: it cannot. */
bool rt_schedule_make_way(const rt_schedule *schedule);

/* Whether a helper costs more than it gains: the leader of `workers` waited `late` ns for it in a run of `run` ns. */
bool rt_helper_is_late(int64_t late, int64_t run, int workers);
/* Notes that the helper was late in a run. When it happens again and again within moments, it rests. */
void rt_rest_late(rt_rest *rest, int64_t run_from, int64_t run_to);
bool rt_rests(const rt_rest *rest, int64_t now);

#endif
