/* SPDX-License-Identifier: Apache-2.0
 * Who does what: work is taken, never dealt, so that a worker on a slower core does less of it. Either each
 * worker takes whole chunks, or all of them, a team, take parts of one step after the other. */
#ifndef RT_ENGINE_SCHEDULE_H
#define RT_ENGINE_SCHEDULE_H

#include "engine/plan.h"

#include <stdatomic.h>

typedef struct rt_schedule {
    rt_thread_pool *pool;  /* borrowed; NULL: the caller is the only worker */
    atomic_size_t next;    /* chunk that no worker has taken yet */
    atomic_int untaken[2]; /* part of a step that no worker has taken yet: of every other step, in turns */
} rt_schedule;

/* Before a run: nothing is taken yet. */
void rt_schedule_reset(rt_schedule *schedule);
/* The next chunk that is not taken, counted from 0 without end. */
size_t rt_schedule_chunk(rt_schedule *schedule);
/* Called by each worker of the team: does a share of a step, and returns when all of it is done. `done`:
 * steps that this team has done since the reset. */
void rt_schedule_step(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, rt_worker *worker,
                      size_t done);

#endif
