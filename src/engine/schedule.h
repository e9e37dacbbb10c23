/* SPDX-License-Identifier: Apache-2.0
 * Distributes work. Workers take work, it is never assigned, so a worker on a slower core does less. Either
 * each worker takes whole chunks, or all of them, a team, take parts of one step after the other. */
#ifndef RT_ENGINE_SCHEDULE_H
#define RT_ENGINE_SCHEDULE_H

#include "engine/plan.h"

#include <stdatomic.h>

typedef struct rt_schedule {
    rt_thread_pool *pool;  /* borrowed; NULL: the caller is the only worker */
    atomic_size_t next;    /* the next chunk */
    atomic_int untaken[2]; /* the next part of a step; alternately for even and odd steps */
} rt_schedule;

/* Before a run: nothing is taken yet. */
void rt_schedule_reset(rt_schedule *schedule);
/* Takes the next chunk; counts from 0, without a limit. */
size_t rt_schedule_chunk(rt_schedule *schedule);
/* Called by each worker of the team: does a share of a step, and returns when the whole step is done.
 * `done`: number of steps that this team has done since the reset. */
void rt_schedule_step(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, rt_worker *worker,
                      size_t done);

#endif
