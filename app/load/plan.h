/* SPDX-License-Identifier: Apache-2.0
 * What a run is to do. Times are nanoseconds of CLOCK_MONOTONIC unless stated otherwise. */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include "load/form.h"
#include "load/target.h"

#include <signal.h>

typedef struct load_plan {
    const load_target *target;
    const load_requests *requests;
    double
        rate; /* requests per second; 0: closed loop, a connection sends its next request after an answer */
    bool poisson; /* random arrivals, at that rate on average */
    size_t connections;
    double warmup, duration, timeout; /* seconds */
    double deadline;                  /* seconds in which an answer is good; 0: always */
    uint64_t *hashes; /* [requests] of the first answer to each; 0: none yet; NULL: do not check */
    const volatile sig_atomic_t *stop; /* nonzero ends the run early, with what it has measured so far */
} load_plan;

#endif
