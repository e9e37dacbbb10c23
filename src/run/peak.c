/* SPDX-License-Identifier: Apache-2.0
 * The peak rates of this machine with the kernels that a session would choose: the best of many short runs,
 * since other load can only slow them down. */
#include "base/cpu.h"
#include "base/sized.h"
#include "base/memory.h"
#include "base/thread.h"
#include "kernel/kernel.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A run is much longer than the resolution of the clock, and short enough that some runs are undisturbed
 * on a busy machine. */
static const double RUN = 1e-3;
static const double PATIENCE = 6e-2; /* seconds of all runs for one figure */
enum { MIN_RUNS = 3, PIECE = 1 << 17 /* words read per call: 1 MiB */ };
enum { BARRIERS = 100, BARRIER_RUNS = 50, WAKES = 15, WAKE_AFTER_NS = 1000 * 1000 };

typedef struct probe probe;
/* Runs `rounds` rounds; returns operations or bytes. */
typedef double work_fn(const probe *p, int worker);

struct probe {
    rt_thread_pool *pool;
    rt_kernels kernels;
    uint64_t *buffer; /* [words] */
    size_t words;
    /* the run at hand */
    work_fn *work;
    int active; /* workers 0…active-1 work, the others sleep */
    size_t rounds;
    rt_peak_fn peak;
    size_t part; /* words that a worker reads repeatedly */
    bool shared; /* all workers read the same words */
    struct {
        double done, start, end;
        size_t at; /* the next word of this worker */
    } * results;   /* [threads] */
    int *cpus;     /* [threads] */
};

/* ---- Rates ---- */

static void work_timed(void *user, int worker) {
    probe *p = user;
    if (p->active > 1) rt_thread_pool_barrier(p->pool);
    p->results[worker].start = rt_seconds();
    p->results[worker].done = p->work(p, worker);
    p->results[worker].end = rt_seconds();
}

/* One run: returns its rate, and in *seconds its time, from the first start to the last end, because
 * threads that take turns on one CPU do not work at the same time. */
static double run_rate(probe *p, double *seconds) {
    double done = 0, start = 0, end = 0;
    if (p->active == 1) {
        work_timed(p, 0);
    } else {
        rt_thread_pool_run(p->pool, work_timed, p);
    }
    for (int i = 0; i < p->active; i++) {
        done += p->results[i].done;
        if (i == 0 || p->results[i].start < start) start = p->results[i].start;
        if (i == 0 || p->results[i].end > end) end = p->results[i].end;
    }
    *seconds = end - start;
    return *seconds > 0 ? done / *seconds : 0;
}

static double best_rate(probe *p, int active) {
    double seconds, spent = 0, best = 0;
    p->active = active;
    p->rounds = 1;
    for (int i = 0; i < MIN_RUNS || spent < PATIENCE; i++) {
        double rate = run_rate(p, &seconds);
        spent += seconds;
        if (rate > best) best = rate;
        if (seconds < RUN / 2) p->rounds *= 2;
    }
    return best;
}

/* ---- Arithmetic ---- */

static double work_peak(const probe *p, int worker) {
    float sums[RT_PANEL];
    (void)worker;
    return (double)p->peak(p->rounds, 1, sums);
}

static retort_rate measure_peak(probe *p, rt_peak_fn peak) {
    p->work = work_peak;
    p->peak = peak;
    int threads = rt_thread_pool_size(p->pool);
    double one = best_rate(p, 1);
    return (retort_rate){one, threads > 1 ? best_rate(p, threads) : one};
}

/* ---- Reading ---- */

static double work_read(const probe *p, int worker) {
    size_t parts = p->words / p->part, piece = rt_min(p->part, PIECE), at = p->results[worker].at;
    const uint64_t *from = p->shared ? p->buffer : p->buffer + (size_t)worker % parts * p->part;
    for (size_t i = 0; i < p->rounds; i++) {
        p->kernels.read_sum(piece, from + at);
        at = at + 2 * piece <= p->part ? at + piece : 0;
    }
    p->results[worker].at = at;
    return (double)p->rounds * (double)(piece * sizeof *from);
}

/* Workers that share a part start at different places. Everything is read once before: what fits into a
 * cache is there then, and of the rest, the beginning was evicted the longest ago. */
static double read_rate(probe *p, size_t part, bool shared, int active) {
    p->work = work_read;
    p->part = rt_min(part, p->words);
    p->shared = shared;
    p->active = active;
    p->rounds = p->part / rt_min(p->part, PIECE);
    for (int i = 0; i < active; i++) {
        p->results[i].at = shared ? p->part / (size_t)active * (size_t)i / PIECE * PIECE : 0;
    }
    double seconds;
    run_rate(p, &seconds);
    return best_rate(p, active);
}

/* Half of the private caches of a core; half of L3, which all threads share for weights; the whole buffer,
 * one part per thread. */
static void measure_reading(probe *p, retort_peaks *out) {
    for (int level = RETORT_L1; level <= RETORT_DRAM; level++) {
        bool dram = level == RETORT_DRAM, shared = level == RETORT_L3;
        size_t part = dram ? p->words : (size_t)out->cache_bytes[level] / 2 / sizeof *p->buffer;
        double one = read_rate(p, part, shared, 1), all = one;
        if (dram) part /= (size_t)out->threads;
        if (out->threads > 1) all = read_rate(p, part, shared, out->threads);
        out->read[level] = (retort_rate){one, all};
    }
}

/* Each worker writes its part first, so that its memory is local. */
static void work_touch(void *user, int worker) {
    probe *p = user;
    size_t threads = (size_t)rt_thread_pool_size(p->pool), part = p->words / threads;
    size_t from = part * (size_t)worker, to = (size_t)worker + 1 == threads ? p->words : from + part;
    memset(p->buffer + from, 1, (to - from) * sizeof *p->buffer);
}

/* ---- The pool ---- */

static void work_barriers(void *user, int worker) {
    probe *p = user;
    rt_thread_pool_barrier(p->pool);
    p->results[worker].start = rt_seconds();
    for (int i = 0; i < BARRIERS; i++) rt_thread_pool_barrier(p->pool);
    p->results[worker].end = rt_seconds();
}

static double measure_barrier(probe *p) {
    double best = 1e9;
    for (int i = 0; i < BARRIER_RUNS; i++) {
        rt_thread_pool_run(p->pool, work_barriers, p);
        double seconds = p->results[0].end - p->results[0].start;
        if (seconds < best) best = seconds;
    }
    return best / BARRIERS;
}

static void work_nothing(void *user, int worker) {
    (void)user;
    (void)worker;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median, since the shortest time to wake up says little. */
static double measure_wake(probe *p) {
    double seconds[WAKES];
    for (int i = 0; i < WAKES; i++) {
        nanosleep(&(struct timespec){.tv_nsec = WAKE_AFTER_NS}, NULL);
        double start = rt_seconds();
        rt_thread_pool_run(p->pool, work_nothing, NULL);
        seconds[i] = rt_seconds() - start;
    }
    qsort(seconds, WAKES, sizeof *seconds, compare);
    return seconds[WAKES / 2];
}

/* ---- All of it ---- */

/* Pins each thread to its own core; on a busy machine, two might share one. */
static void work_pin(void *user, int worker) {
    const probe *p = user;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)p->cpus[worker], &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void measure_all(probe *p, retort_peaks *out) {
    cpu_set_t before;
    bool pin = rt_cpu_cores(p->cpus, out->threads) >= out->threads &&
               sched_getaffinity(0, sizeof before, &before) == 0;
    double start = rt_seconds();
    if (pin) rt_thread_pool_run(p->pool, work_pin, p);
    out->f32 = measure_peak(p, p->kernels.peak_f32);
    out->bf16 = measure_peak(p, p->kernels.peak_bf16);
    out->s8 = measure_peak(p, p->kernels.peak_s8);
    out->s4 = measure_peak(p, p->kernels.peak_s4);
    rt_thread_pool_run(p->pool, work_touch, p);
    measure_reading(p, out);
    out->barrier = measure_barrier(p);
    out->wake = measure_wake(p);
    out->seconds = rt_seconds() - start;
    if (pin) sched_setaffinity(0, sizeof before, &before); /* of the caller, who is worker 0 */
}

/* Four times L3, so that almost nothing of it is still cached in the next round. */
static size_t buffer_bytes(const uint64_t caches[RT_CACHES]) {
    const uint64_t least = 64 << 20, most = 1 << 30;
    uint64_t bytes = 4 * caches[RETORT_L3];
    return (size_t)(bytes < least ? least : bytes > most ? most : bytes);
}

static retort_status measure(probe *p, int threads, retort_peaks *out, retort_error *err) {
    size_t bytes = buffer_bytes(out->cache_bytes);
    p->words = bytes / sizeof *p->buffer;
    p->buffer = rt_alloc_aligned(bytes);
    if (p->buffer == NULL) return rt_fail_nomem(err, bytes);
    p->results = rt_calloc((size_t)threads, sizeof *p->results);
    p->cpus = rt_calloc((size_t)threads, sizeof *p->cpus);
    if (p->results == NULL || p->cpus == NULL)
        return rt_fail_nomem(err, (size_t)threads * sizeof *p->results);
    retort_status status = rt_thread_pool_open(&p->pool, threads, err);
    if (status == RETORT_OK) measure_all(p, out);
    return status;
}

retort_status retort_machine_measure(const char *isa, int threads, retort_peaks *out, retort_error *err) {
    retort_peaks found;
    if (out == NULL) return rt_fail(err, RETORT_ARGUMENT, "measure: out is NULL");
    retort_status status = rt_read_peaks("measure", out, &found, err);
    if (status != RETORT_OK) return status;
    if (threads == 0) threads = rt_cpu_threads();
    if (threads < 1 || threads > RT_MAX_THREADS)
        return rt_fail(err, RETORT_ARGUMENT, "%d threads: expected 1 to %d", threads, RT_MAX_THREADS);
    uint32_t features;
    found = (retort_peaks){.threads = threads};
    status = rt_isa_select(isa, &features, &found.isa, err);
    if (status != RETORT_OK) return status;
    probe p = {0};
    rt_kernels_select(&p.kernels, features);
    found.f32_kernel = p.kernels.peak_f32_name;
    found.bf16_kernel = p.kernels.peak_bf16_name;
    found.s8_kernel = p.kernels.peak_s8_name;
    found.s4_kernel = p.kernels.peak_s4_name;
    rt_cpu_caches(found.cache_bytes);
    status = measure(&p, threads, &found, err);
    rt_thread_pool_close(p.pool);
    free(p.results);
    free(p.cpus);
    free(p.buffer);
    if (status == RETORT_OK) rt_give_peaks(out, &found);
    return status;
}
