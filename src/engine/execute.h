/* SPDX-License-Identifier: Apache-2.0
 * The executor carries chunks of a batch through the steps of a plan. It is the only loop over steps: a
 * session, calibration and the forward pass of the tape all run through it, and watch it with observers. */
#ifndef RT_ENGINE_EXECUTE_H
#define RT_ENGINE_EXECUTE_H

#include "engine/plan.h"
#include "engine/schedule.h"

/* A worker at a step of a chunk. */
typedef struct rt_event {
    const rt_plan *plan;
    size_t step; /* index in the plan */
    const rt_chunk *chunk;
    const rt_worker *worker;
    bool leads; /* the first of the workers that share the step, or the only one */
} rt_event;

/* Functions called around each step; each may be NULL. */
typedef struct rt_observer {
    void *user;
    /* Called by each worker around its share of the step. Calls of several workers overlap. */
    void (*before)(void *user, const rt_event *event);
    void (*after)(void *user, const rt_event *event);
    /* Called once per step and chunk by the leading worker, while the others wait. Everything that the
     * step read and wrote is still there: no output shares bytes with an input of the same step
     * (engine/memory.c). Chunks run in turn. Any status but RETORT_OK stops the run, which returns it. */
    retort_status (*see)(void *user, const rt_event *event, retort_error *err);
} rt_observer;

/* The work of a run: `count` chunks, each by all workers together (team) or by one. */
typedef struct rt_work {
    const rt_chunk *chunks;
    size_t count;
    bool team;
    /* NULL, or called when a chunk is done, by the worker that has its results */
    void (*finish)(void *user, size_t chunk, const rt_worker *worker);
    void *user;
} rt_work;

typedef struct rt_executor {
    const rt_plan *plan; /* borrowed */
    size_t steps;        /* number of steps to run; rt_executor_open sets all */
    /* Called in this order; set before a run. Without any, a step costs no more than its function. */
    const rt_observer *observers; /* [observer_count], borrowed */
    size_t observer_count;
    rt_worker *workers; /* [threads] */
    int threads;
    char *arenas; /* [threads, arena_stride]: reserved, and touched only as far as used */
    size_t arena_stride;
    /* Of the run in progress. */
    rt_schedule schedule;
    const rt_work *work;
    bool team;
    bool sees;      /* an observer has `see` */
    bool stopped;   /* by an observer's see */
    rt_rest *rests; /* [threads] from run to run: helpers that were late, and for how long they rest */
} rt_executor;

/* pool: borrowed; NULL: the caller does all the work. */
retort_status rt_executor_open(rt_executor *out, const rt_plan *plan, rt_thread_pool *pool,
                               retort_error *err);
void rt_executor_close(rt_executor *executor);

/* Runs the work; returns the error of the first worker that failed. Allocates nothing. */
retort_status rt_execute(rt_executor *executor, const rt_work *work, retort_error *err);
/* Runs one step, in the plan or not, by all workers that do not rest. */
void rt_execute_step(rt_executor *executor, const rt_step *step, const rt_chunk *chunk);

#endif
