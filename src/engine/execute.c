/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/execute.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

static void help(void *user, int index);

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
    out->rests = rt_calloc((size_t)out->threads, sizeof *out->rests);
    if (out->workers == NULL || out->rests == NULL ||
        !rt_mul(out->arena_stride, (size_t)out->threads, &total))
        return rt_fail_nomem(err, out->arena_stride);
    void *arenas =
        mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arenas == MAP_FAILED) return rt_fail_nomem(err, total);
    out->arenas = arenas;
    retort_status status = RETORT_OK;
    for (int i = 0; status == RETORT_OK && i < out->threads; i++) status = open_worker(out, i, err);
    if (status == RETORT_OK && out->threads > 1) rt_thread_pool_set_help(pool, help, out);
    return status;
}

void rt_executor_close(rt_executor *x) {
    if (x->schedule.pool != NULL && x->threads > 1) rt_thread_pool_set_help(x->schedule.pool, NULL, NULL);
    for (int i = 0; x->workers != NULL && i < x->threads; i++) {
        free(x->workers[i].scratch);
        free(x->workers[i].tensors);
    }
    free(x->workers);
    free(x->rests);
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

static void call_after(const rt_executor *x, const rt_event *event) {
    for (size_t i = 0; i < x->observer_count; i++) {
        const rt_observer *observer = &x->observers[i];
        if (observer->after != NULL) observer->after(observer->user, event);
    }
}

/* ---- Running ---- */

/* All of a step, by one worker. */
static void run_whole(const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    worker->part = 0;
    worker->end = worker->parts = 1;
    step->run(step, chunk, worker);
}

/* By the leader: a step with whoever helps. Plain steps note shapes for the next one with the worker that ran them. */
static void run_together(rt_executor *x, const rt_step *step, const rt_chunk *chunk, rt_worker *worker) {
    if (step->plain) {
        run_whole(step, chunk, worker);
        return;
    }
    rt_schedule_post(&x->schedule, step, chunk, 0);
    while (rt_schedule_take(&x->schedule, worker)) {
        int taken = worker->end - worker->part;
        step->run(step, chunk, worker);
        rt_schedule_finish(&x->schedule, worker, taken, worker->parts);
    }
    rt_schedule_wait(&x->schedule);
}

static void run_steps(rt_executor *x, const rt_chunk *chunk, rt_worker *worker, bool together) {
    bool observed = x->observer_count > 0;
    rt_event event = {.plan = x->plan, .chunk = chunk, .worker = worker, .leads = true};
    for (event.step = 0; event.step < x->steps; event.step++) {
        const rt_step *step = &x->plan->steps[event.step];
        if (observed) call_before(x, &event);
        if (together)
            run_together(x, step, chunk, worker);
        else
            run_whole(step, chunk, worker);
        if (observed) call_after(x, &event);
        if (x->sees && !call_see(x, &event, worker)) {
            x->stopped = true;
            return;
        }
    }
}

static void run_chunk(rt_executor *x, size_t chunk, rt_worker *worker, bool together) {
    const rt_work *work = x->work;
    run_steps(x, &work->chunks[chunk], worker, together);
    if (!x->stopped && work->finish != NULL) work->finish(work->user, chunk, worker);
}

/* Parts of a step that the leader has posted. */
static void help_step(const rt_executor *x, rt_worker *worker) {
    const rt_step *step = x->schedule.step;
    rt_event event = {.plan = x->plan, .chunk = x->schedule.chunk, .worker = worker};
    bool observed = x->observer_count > 0;
    if (observed) event.step = (size_t)(step - x->plan->steps);
    if (observed) call_before(x, &event);
    step->run(step, event.chunk, worker);
    if (observed) call_after(x, &event);
}

/* Whole chunks that the leader has posted. */
static void run_chunks(rt_executor *x, rt_worker *worker, int from, int end) {
    size_t first = (size_t)(x->schedule.chunk - x->work->chunks);
    for (int i = from; i < end; i++) run_chunk(x, first + (size_t)i, worker, false);
}

/* The helpers: they join in what the leader has posted, as long as something follows. A helper without a part may fall asleep,
 * or be kept from running, at any time. On the core of the leader it is in the way: it goes to another one, or else back to
 * sleep. */
static void help(void *user, int index) {
    rt_executor *x = user;
    rt_worker *worker = &x->workers[index];
    unsigned seen = atomic_load(&x->schedule.number.value);
    if (rt_rests(&x->rests[index], rt_now_ns())) return;
    do {
        if (!rt_schedule_make_way(&x->schedule)) {
            atomic_store_explicit(&worker->in_the_way, true, memory_order_relaxed);
            sched_yield();
            return;
        }
        while (rt_schedule_take(&x->schedule, worker)) {
            int parts = worker->parts, from = worker->part, end = worker->end;
            if (x->schedule.step != NULL)
                help_step(x, worker);
            else
                run_chunks(x, worker, from, end);
            rt_schedule_finish(&x->schedule, worker, end - from, parts);
        }
    } while (rt_schedule_follow(&x->schedule, &seen));
}

/* A team shares the arena of its first worker. */
static void reset(rt_executor *x, bool team) {
    x->team = team;
    x->stopped = false;
    for (int i = 0; i < x->threads; i++) {
        rt_worker *worker = &x->workers[i];
        worker->arena = x->arenas + (team ? 0 : (size_t)i * x->arena_stride);
        worker->status = RETORT_OK;
        worker->late = 0;
        atomic_store_explicit(&worker->in_the_way, false, memory_order_relaxed);
    }
}

/* ---- Neighbours ---- */

/* The workers that a run may have: the leader, and helpers that do not rest. */
static int count_workers(const rt_executor *x, int64_t now) {
    int count = 1;
    for (int i = 1; i < x->threads; i++) count += !rt_rests(&x->rests[i], now);
    return count;
}

/* Helpers that another process stopped in the middle of a part, or moved to the core of the leader, rest for a while. */
static void judge(rt_executor *x, int64_t from, int workers) {
    int64_t now = rt_now_ns();
    for (int i = 1; i < x->threads; i++) {
        const rt_worker *worker = &x->workers[i];
        bool in_the_way = atomic_load_explicit(&worker->in_the_way, memory_order_relaxed);
        if (in_the_way || rt_helper_is_late(worker->late, now - from, workers))
            rt_rest_late(&x->rests[i], from, now);
    }
}

/* Chunk by chunk, each with whoever helps. */
static void run_in_turn(rt_executor *x, bool together) {
    for (size_t i = 0; i < x->work->count && !x->stopped; i++) run_chunk(x, i, &x->workers[0], together);
}

/* Each worker takes whole chunks, one at a time. */
static void run_apart(rt_executor *x) {
    rt_worker *worker = &x->workers[0];
    for (size_t from = 0; from < x->work->count; from += RT_SCHEDULE_MOST) {
        size_t count = rt_min(x->work->count - from, RT_SCHEDULE_MOST);
        rt_schedule_post(&x->schedule, NULL, &x->work->chunks[from], count);
        while (rt_schedule_take(&x->schedule, worker)) {
            int parts = worker->parts, at = worker->part, end = worker->end;
            run_chunks(x, worker, at, end);
            rt_schedule_finish(&x->schedule, worker, end - at, parts);
        }
        rt_schedule_wait(&x->schedule);
    }
}

retort_status rt_execute(rt_executor *x, const rt_work *work, retort_error *err) {
    bool turns = work->team;
    x->work = work;
    x->sees = false;
    for (size_t i = 0; i < x->observer_count; i++) x->sees |= x->observers[i].see != NULL;
    turns = turns || x->sees;
    reset(x, x->threads > 1 && turns);
    if (work->count == 0) return RETORT_OK;
    int64_t from = rt_now_ns();
    int workers = count_workers(x, from);
    atomic_store_explicit(&x->schedule.workers, workers, memory_order_relaxed);
    if (turns || workers == 1)
        run_in_turn(x, workers > 1);
    else
        run_apart(x);
    judge(x, from, workers);
    for (int i = 0; i < x->threads; i++) {
        const rt_worker *worker = &x->workers[i];
        if (worker->status == RETORT_OK) continue;
        if (err != NULL) *err = worker->error;
        return worker->status;
    }
    return RETORT_OK;
}

void rt_execute_step(rt_executor *x, const rt_step *step, const rt_chunk *chunk) {
    reset(x, x->threads > 1);
    int64_t from = rt_now_ns();
    int workers = count_workers(x, from);
    atomic_store_explicit(&x->schedule.workers, workers, memory_order_relaxed);
    if (workers > 1)
        run_together(x, step, chunk, &x->workers[0]);
    else
        run_whole(step, chunk, &x->workers[0]);
    judge(x, from, workers);
}
