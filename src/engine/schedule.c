/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

void rt_schedule_reset(rt_schedule *schedule) {
    atomic_store_explicit(&schedule->next, 0, memory_order_relaxed);
    atomic_store_explicit(&schedule->untaken[0], 0, memory_order_relaxed);
}

size_t rt_schedule_chunk(rt_schedule *schedule) {
    return atomic_fetch_add_explicit(&schedule->next, 1, memory_order_relaxed);
}

/* A step with fewer operations than this (some 10 µs of one core with 4-bit weights) is cut into one part
 * per worker: more parts would cost more than they gain. */
enum { PARTS_A_WORKER = 12, FEW_OPERATIONS = 4000000 };

/* Takes the next parts of a step: most of a fair share first, then ever fewer. False: none are left. A
 * core that is slow, or shared with another process, thus does less of each step, and the others need not
 * wait for it. With a fixed half of each step for each of two workers, 1x128 in 4 bits took up to 1.5
 * times as long while something else slowed one core. */
static bool take_parts(const rt_schedule *schedule, rt_worker *worker, atomic_int *untaken) {
    int from = atomic_load_explicit(untaken, memory_order_relaxed), size;
    do {
        if (from >= worker->parts) return false;
        size = (worker->parts - from) * 7 / (8 * rt_thread_pool_size(schedule->pool));
        if (size < 1) size = 1;
    } while (!atomic_compare_exchange_weak_explicit(untaken, &from, from + size, memory_order_relaxed,
                                                    memory_order_relaxed));
    worker->part = from;
    worker->end = from + size;
    return true;
}

/* Between two barriers, nobody takes parts of the previous step, so its counter can be reset for the next. */
void rt_schedule_step(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, rt_worker *worker,
                      size_t done) {
    int threads = rt_thread_pool_size(schedule->pool);
    bool whole = step->plain || rt_step_operations(step, chunk) < FEW_OPERATIONS;
    if (worker->index == 0)
        atomic_store_explicit(&schedule->untaken[(done + 1) % 2], 0, memory_order_relaxed);
    worker->parts = whole ? threads : PARTS_A_WORKER * threads;
    worker->part = worker->index;
    worker->end = worker->index + 1;
    if (whole)
        step->run(step, chunk, worker);
    else
        while (take_parts(schedule, worker, &schedule->untaken[done % 2])) step->run(step, chunk, worker);
    rt_thread_pool_barrier(schedule->pool);
}
