/* SPDX-License-Identifier: Apache-2.0
 * One run of requests, at a given rate or in a closed loop. */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "cli/output.h"
#include "load/plan.h"
#include "load/result.h"

/* Errors of this side (memory, descriptors) are printed. */
cli_code load_run(load_result *out, const load_plan *plan);

/* Sends one request, to report problems early. Errors are printed. */
cli_code load_probe(const load_plan *plan);

#endif
