/* SPDX-License-Identifier: Apache-2.0
 * How busy other processes keep the CPUs that this one may use: from /proc, without privileges. */
#ifndef BENCH_BUSY_H
#define BENCH_BUSY_H

#include <jansson.h>
#include <stdbool.h>

/* Seconds that the CPUs of this process have spent so far; `own`: running this process. */
typedef struct bench_watch {
    int cpus; /* 0: unknown */
    double total, idle, steal, own;
} bench_watch;

/* Shares (0…1) of the time of these CPUs. Unknown if the system does not say, or if the time was too short. */
typedef struct bench_busy {
    bool known;
    int cpus;
    double others; /* used by other processes */
    double steal;  /* taken by the hypervisor */
} bench_busy;

bench_watch bench_watch_start(void);
bench_busy bench_watch_end(const bench_watch *from);
/* Prints "other processes used 12 % of the 2 CPUs" and a line feed, if that is known. */
void bench_print_busy(const bench_busy *busy);
/* Sets "others" and "steal" of a line; null if not known. */
void bench_set_busy(json_t *line, const bench_busy *busy);

/* Share (0…1) of the last 10 seconds in which some task waited for a CPU; NaN: unknown. */
double bench_pressure(void);
/* Load average of the last minute; NaN: unknown. */
double bench_load(void);
/* One line of advice; NULL: not busy. */
const char *bench_busy_advice(const bench_busy *busy);

#endif
