/* SPDX-License-Identifier: Apache-2.0
 * A plan's steps with the time of each. */
#ifndef BENCH_STEPS_H
#define BENCH_STEPS_H

#include "cli/output.h"
#include "retort.h"

#include <jansson.h>

/* A table of the plan's steps, or its JSON; compares each step with the peaks unless they are NULL. */
cli_code bench_print_steps(retort_session *session, const retort_peaks *peaks);
json_t *bench_json_steps(retort_session *session, const retort_peaks *peaks);

#endif
