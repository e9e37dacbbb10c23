/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

/* `posted`: number, whether the parts are taken one at a time, how many there are, how many are taken. */
enum { PARTS_AT = 16, NUMBER_AT = 32, MOST_PARTS = RT_SCHEDULE_MOST };
static const uint64_t ONE_BY_ONE = UINT64_C(1) << (NUMBER_AT - 1);
static int parts_of(uint64_t posted) {
    return (int)(posted >> PARTS_AT & MOST_PARTS);
}
static int taken_of(uint64_t posted) {
    return (int)(posted & MOST_PARTS);
}

/* A step with fewer operations than this (some 10 µs of one core with 4-bit weights) is cut into one part
 * per worker: more parts would cost more than they gain. */
enum { PARTS_A_WORKER = 12, FEW_OPERATIONS = 4000000 };

void rt_schedule_post(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, size_t count) {
    size_t threads = (size_t)rt_thread_pool_size(schedule->pool);
    unsigned number = atomic_load_explicit(&schedule->number.value, memory_order_relaxed) + 1;
    if (step != NULL)
        count = threads * (rt_step_operations(step, chunk) < FEW_OPERATIONS ? 1 : PARTS_A_WORKER);
    schedule->step = step;
    schedule->chunk = chunk;
    atomic_store_explicit(&schedule->done.value, 0, memory_order_relaxed);
    uint64_t how = step == NULL ? ONE_BY_ONE : 0;
    atomic_store(&schedule->posted, (uint64_t)number << NUMBER_AT | how | (uint64_t)count << PARTS_AT);
    atomic_store(&schedule->number.value, number);
    if (count > 1) rt_thread_pool_call(schedule->pool);
}

/* Of a step, most of a fair share first, then ever fewer. A core that is slow, or shared with another process, thus does less
 * of each step. With a fixed half of each step for each of two workers, 1x128 in 4 bits took up to 1.5 times as long while
 * something else slowed one core. */
bool rt_schedule_take(rt_schedule *schedule, rt_worker *worker) {
    uint64_t posted = atomic_load(&schedule->posted);
    int threads = rt_thread_pool_size(schedule->pool), from, size;
    do {
        from = taken_of(posted);
        if (from >= parts_of(posted)) return false;
        size = (parts_of(posted) - from) * 7 / (8 * threads);
        if (size < 1 || (posted & ONE_BY_ONE) != 0) size = 1;
    } while (!atomic_compare_exchange_weak(&schedule->posted, &posted, posted + (uint64_t)size));
    worker->part = from;
    worker->end = from + size;
    worker->parts = parts_of(posted);
    return true;
}

void rt_schedule_finish(rt_schedule *schedule, int taken, int parts) {
    unsigned done = atomic_fetch_add(&schedule->done.value, (unsigned)taken) + (unsigned)taken;
    if (done == (unsigned)parts) rt_futex_wake(&schedule->done);
}

int64_t rt_schedule_wait(rt_schedule *schedule) {
    unsigned parts = (unsigned)parts_of(atomic_load_explicit(&schedule->posted, memory_order_relaxed));
    unsigned done = atomic_load(&schedule->done.value);
    if (done == parts) return 0;
    int64_t from = rt_now_ns();
    for (; done != parts; done = atomic_load(&schedule->done.value)) rt_futex_wait(&schedule->done, done);
    return rt_now_ns() - from;
}

bool rt_schedule_follow(rt_schedule *schedule, unsigned *seen) {
    if (!rt_futex_spin(&schedule->number, *seen)) return false;
    *seen = atomic_load(&schedule->number.value);
    return true;
}
