/* SPDX-License-Identifier: Apache-2.0
 * The order in which candidates are tried. It follows from what tune.json has, so a tuning that goes on decides as one that
 * was never interrupted. */
#ifndef TUNE_SEARCH_H
#define TUNE_SEARCH_H

#include "tune/state.h"

/* Tries until nothing is left, the time is over, or the user interrupts. */
cli_code tune_search(tune *t);
/* What would be tried, with estimated times, to stdout. */
void tune_search_plan(const tune *t);

#endif
