/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/schedule.h"

#include <sched.h>

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
 * per worker: more parts would cost more than they gain. Others get 12 parts per worker or, if they are long, so many that a
 * part is some 17 µs of float products: at the end of a step the others wait for the last part. */
enum { FEW_OPERATIONS = 4000000, LEAST_PARTS = 12, MOST_PARTS_A_WORKER = 96, OPERATIONS_A_PART = 2000000 };

static size_t parts_a_worker(double operations, size_t workers) {
    if (operations < FEW_OPERATIONS) return 1;
    double parts = operations / ((double)workers * OPERATIONS_A_PART);
    return parts < LEAST_PARTS           ? LEAST_PARTS
           : parts < MOST_PARTS_A_WORKER ? (size_t)parts
                                         : MOST_PARTS_A_WORKER;
}

void rt_schedule_post(rt_schedule *schedule, const rt_step *step, const rt_chunk *chunk, size_t count) {
    size_t workers = (size_t)atomic_load_explicit(&schedule->workers, memory_order_relaxed);
    unsigned number = atomic_load_explicit(&schedule->number.value, memory_order_relaxed) + 1;
    if (step != NULL) count = workers * parts_a_worker(rt_step_operations(step, chunk), workers);
    schedule->step = step;
    schedule->posted_at = rt_now_ns();
    atomic_store_explicit(&schedule->leader_core, sched_getcpu(), memory_order_relaxed);
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
    int workers = atomic_load_explicit(&schedule->workers, memory_order_relaxed), from, size;
    do {
        from = taken_of(posted);
        if (from >= parts_of(posted)) return false;
        size = (parts_of(posted) - from) * 7 / (8 * workers);
        if (size < 1 || (posted & ONE_BY_ONE) != 0) size = 1;
    } while (!atomic_compare_exchange_weak(&schedule->posted, &posted, posted + (uint64_t)size));
    worker->part = from;
    worker->end = from + size;
    worker->parts = parts_of(posted);
    return true;
}

/* The leader always waits a little, for the last part of a step. If it waits half as long as it worked, and for more than a
 * moment, then something stopped the helper; the time slices of the system are milliseconds. Whole chunks may differ by any
 * factor, so waits for them say nothing. */
enum { USUAL_WAIT_NS = 200 * 1000 };

static int64_t unusual_wait(const rt_schedule *schedule) {
    int64_t since = atomic_load_explicit(&schedule->waits_since, memory_order_relaxed);
    if (since == 0 || schedule->step == NULL) return 0;
    int64_t wait = rt_now_ns() - since;
    return wait > USUAL_WAIT_NS && 2 * wait > since - schedule->posted_at ? wait : 0;
}

void rt_schedule_finish(rt_schedule *schedule, rt_worker *worker, int taken, int parts) {
    worker->late += unusual_wait(schedule);
    unsigned done = atomic_fetch_add(&schedule->done.value, (unsigned)taken) + (unsigned)taken;
    if (done == (unsigned)parts) rt_futex_wake(&schedule->done);
}

void rt_schedule_wait(rt_schedule *schedule) {
    unsigned parts = (unsigned)parts_of(atomic_load_explicit(&schedule->posted, memory_order_relaxed));
    unsigned done = atomic_load(&schedule->done.value);
    if (done == parts) return;
    atomic_store_explicit(&schedule->waits_since, rt_now_ns(), memory_order_relaxed);
    for (; done != parts; done = atomic_load(&schedule->done.value)) rt_futex_wait(&schedule->done, done);
    atomic_store_explicit(&schedule->waits_since, 0, memory_order_relaxed);
}

bool rt_schedule_follow(rt_schedule *schedule, unsigned *seen) {
    if (!rt_futex_spin(&schedule->number, *seen)) return false;
    *seen = atomic_load(&schedule->number.value);
    return true;
}

/* Linux wakes a thread on the core of the one that wakes it, and takes up to 4 ms to move it, even to an idle core. */
bool rt_schedule_make_way(const rt_schedule *schedule) {
    int core = atomic_load_explicit(&schedule->leader_core, memory_order_relaxed);
    return sched_getcpu() != core || rt_thread_leave_core(core);
}

/* A helper that is stopped while it has a part is stopped without one as often, and then gains nothing either. So an eighth
 * of the run, shared among the helpers, is too much: with a third, two threads took 1.12 times as long as one beside a loop. */
bool rt_helper_is_late(int64_t late, int64_t run, int workers) {
    return 8 * late * (workers - 1) > run;
}

/* A virtual machine stops for a moment now and then, and a process that starts beside this one is gone after some
 * milliseconds: that is no neighbour. One is late again within its next time slices. Beside a loop, each trial after the longest
 * rest costs two late runs, fewer than the slowest hundredth of runs of 3 ms. */
static const int64_t SOON = 64 * INT64_C(1000000);
static const int64_t FIRST_REST = 32 * INT64_C(1000000), LONGEST_REST = 2048 * INT64_C(1000000);
enum { LONGER = 8, FIRST_STRIKES = 3, LATER_STRIKES = 2 };

void rt_rest_late(rt_rest *rest, int64_t run_from, int64_t run_to) {
    bool soon = run_from - rest->late_at < SOON;
    if (!soon) rest->length = 0;
    rest->strikes = soon ? rest->strikes + 1 : 1;
    rest->late_at = run_to;
    if (rest->strikes < (rest->length == 0 ? FIRST_STRIKES : LATER_STRIKES)) return;
    int64_t longer = LONGER * rest->length < LONGEST_REST ? LONGER * rest->length : LONGEST_REST;
    rest->length = rest->length == 0 ? FIRST_REST : longer;
    rest->late_at = run_to + rest->length;
    rest->strikes = 0;
    atomic_store_explicit(&rest->until, rest->late_at, memory_order_relaxed);
}

bool rt_rests(const rt_rest *rest, int64_t now) {
    return now < atomic_load_explicit(&rest->until, memory_order_relaxed);
}
