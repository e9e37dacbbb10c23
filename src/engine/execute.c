/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/execute.h"

#include <stdlib.h>
#include <sys/mman.h>

/* ---- Opening ---- */

static retort_status open_worker(rt_executor *x, int index, retort_error *err) {
    rt_worker *worker = &x->workers[index];
    size_t scratch = rt_round_up(x->plan->scratch_floats * sizeof *worker->scratch + 1, 64);
    *worker = (rt_worker){.plan = x->plan, .index = index};
    worker->scratch = rt_alloc_aligned(scratch);
    worker->tensors = rt_calloc(x->plan->graph->value_count, sizeof *worker->tensors);
    bool made = worker->scratch != NULL && worker->tensors != NULL;
    return made ? RETORT_OK : rt_fail_nomem(err, scratch);
}

retort_status rt_executor_open(rt_executor *out, const rt_plan *plan, rt_thread_pool *pool,
                               retort_error *err) {
    size_t total;
    *out = (rt_executor){.plan = plan, .steps = plan->step_count, .schedule.pool = pool};
    out->threads = pool == NULL ? 1 : rt_thread_pool_size(pool);
    out->arena_stride = rt_round_up(plan->arena_bytes + 1, 4096);
    out->workers = rt_calloc((size_t)out->threads, sizeof *out->workers);
    if (out->workers == NULL || !rt_mul(out->arena_stride, (size_t)out->threads, &total))
        return rt_fail_nomem(err, out->arena_stride);
    void *arenas =
        mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arenas == MAP_FAILED) return rt_fail_nomem(err, total);
    out->arenas = arenas;
    retort_status status = RETORT_OK;
    for (int i = 0; status == RETORT_OK && i < out->threads; i++) status = open_worker(out, i, err);
    return status;
}

void rt_executor_close(rt_executor *x) {
    for (int i = 0; x->workers != NULL && i < x->threads; i++) {
        free(x->workers[i].scratch);
        free(x->workers[i].tensors);
    }
    free(x->workers);
    if (x->arenas != NULL) munmap(x->arenas, x->arena_stride * (size_t)x->threads);
    *x = (rt_executor){0};
}

/* ---- Observers ---- */

static void call_before(const rt_executor *x, const rt_event *event) {
    for (size_t i = 0; i < x->observer_count; i++) {
        const rt_observer *observer = &x->observers[i];
        if (observer->before != NULL) observer->before(observer->user, event);
    }
}

/* Called by the leading worker; true: go on. */
static bool call_see(const rt_executor *x, const rt_event *event, rt_worker *worker) {
    for (size_t i = 0; worker->status == RETORT_OK && i < x->observer_count; i++) {
        const rt_observer *observer = &x->observers[i];
        if (observer->see != NULL) worker->status = observer->see(observer->user, event, &worker->error);
    }
    return worker->status == RETORT_OK;
}

/* False: the run stops. */
static bool call_after(rt_executor *x, const rt_event *event, rt_worker *worker) {
    for (size_t i = 0; i < x->observer_count; i++) {
        const rt_observer *observer = &x->observers[i];
        if (observer->after != NULL) observer->after(observer->user, event);
    }
    if (!x->sees) return true;
    if (event->leads && !call_see(x, event, worker)) x->stopped = true;
    if (x->team) rt_thread_pool_barrier(x->schedule.pool);
    return !x->stopped;
}

/* ---- Running ---- */

/* done: steps of earlier chunks. */
static void run_steps(rt_executor *x, const rt_chunk *chunk, rt_worker *worker, size_t done) {
    bool observed = x->observer_count > 0, team = x->team;
    rt_event event = {
        .plan = x->plan, .chunk = chunk, .worker = worker, .leads = !team || worker->index == 0};
    for (event.step = 0; event.step < x->steps; event.step++) {
        const rt_step *step = &x->plan->steps[event.step];
        if (observed) call_before(x, &event);
        if (team)
            rt_schedule_step(&x->schedule, step, chunk, worker, done + event.step);
        else
            step->run(step, chunk, worker);
        if (observed && !call_after(x, &event, worker)) return;
    }
}

/* Team: all workers share each step. */
static void work_together(void *user, int index) {
    rt_executor *x = user;
    const rt_work *work = x->work;
    rt_worker *worker = &x->workers[index];
    for (size_t i = 0; i < work->count && !x->stopped; i++) {
        run_steps(x, &work->chunks[i], worker, i * x->steps);
        if (index == 0 && !x->stopped && work->finish != NULL) work->finish(work->user, i, worker);
        rt_thread_pool_barrier(x->schedule.pool);
    }
}

/* Every worker takes whole chunks, one at a time. */
static void work_apart(void *user, int index) {
    rt_executor *x = user;
    const rt_work *work = x->work;
    rt_worker *worker = &x->workers[index];
    for (;;) {
        size_t i = rt_schedule_chunk(&x->schedule);
        if (i >= work->count) return;
        run_steps(x, &work->chunks[i], worker, 0);
        if (x->stopped) return;
        if (work->finish != NULL) work->finish(work->user, i, worker);
    }
}

/* A team shares the arena of its first worker. */
static void reset(rt_executor *x, bool team) {
    rt_schedule_reset(&x->schedule);
    x->team = team;
    x->stopped = false;
    for (int i = 0; i < x->threads; i++) {
        rt_worker *worker = &x->workers[i];
        worker->arena = x->arenas + (team ? 0 : (size_t)i * x->arena_stride);
        worker->part = 0;
        worker->end = worker->parts = 1;
        worker->status = RETORT_OK;
    }
}

static void run_region(rt_executor *x, void (*work)(void *user, int worker), void *user) {
    if (x->schedule.pool == NULL)
        work(user, 0);
    else
        rt_thread_pool_run(x->schedule.pool, work, user);
}

retort_status rt_execute(rt_executor *x, const rt_work *work, retort_error *err) {
    x->work = work;
    x->sees = false;
    for (size_t i = 0; i < x->observer_count; i++) x->sees |= x->observers[i].see != NULL;
    reset(x, x->threads > 1 && (work->team || x->sees));
    if (work->count == 0) return RETORT_OK;
    run_region(x, x->team ? work_together : work_apart, x);
    for (int i = 0; i < x->threads; i++) {
        const rt_worker *worker = &x->workers[i];
        if (worker->status == RETORT_OK) continue;
        if (err != NULL) *err = worker->error;
        return worker->status;
    }
    return RETORT_OK;
}

/* Runs one step alone. */
typedef struct lone_step {
    rt_executor *executor;
    const rt_step *step;
    const rt_chunk *chunk;
} lone_step;

static void run_lone_step(void *user, int index) {
    const lone_step *lone = user;
    rt_executor *x = lone->executor;
    if (x->team)
        rt_schedule_step(&x->schedule, lone->step, lone->chunk, &x->workers[index], 0);
    else
        lone->step->run(lone->step, lone->chunk, &x->workers[index]);
}

void rt_execute_step(rt_executor *x, const rt_step *step, const rt_chunk *chunk) {
    lone_step lone = {x, step, chunk};
    reset(x, x->threads > 1);
    run_region(x, run_lone_step, &lone);
}
