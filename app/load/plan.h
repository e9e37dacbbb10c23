/* SPDX-License-Identifier: Apache-2.0
 * What a run shall do. Times are nanoseconds of CLOCK_MONOTONIC where nothing else is said. */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include "load/form.h"
#include "load/target.h"

#include <signal.h>

typedef struct load_plan {
    const load_target *target;
    const load_requests *requests;
    double rate;  /* requests a second; 0: closed loop, a connection sends when it has its answer */
    bool poisson; /* arrivals at random, at that rate on average */
    size_t connections;
    double warmup, duration, timeout; /* seconds */
    double deadline;                  /* seconds; an answer is good until then; 0: always */
    uint64_t *hashes; /* [requests] of the first answer to each, 0: none yet; NULL: not checked */
    const volatile sig_atomic_t *stop; /* once it is not 0 the run ends, and has measured what it has */
} load_plan;

#endif
