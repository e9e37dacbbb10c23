/* SPDX-License-Identifier: Apache-2.0
 * The search for the highest rate that a server sustains. */
#ifndef LOAD_SATURATE_H
#define LOAD_SATURATE_H

#include "cli/output.h"
#include "load/plan.h"
#include "load/result.h"

typedef cli_code (*load_show_fn)(void *user, const load_result *result);
/* Runs up to LOAD_STEPS loads, shows each, and returns the highest sustained rate of good answers: at
 * least 98 % of the requests due were answered in time and within the run. */
enum { LOAD_STEPS = 8 };
cli_code load_saturate(const load_plan *plan, load_show_fn show, void *user, double *rate);

#endif
