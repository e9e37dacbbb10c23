/* SPDX-License-Identifier: Apache-2.0
 * What a tuning tells while it runs: on a terminal the frontier in place, elsewhere a line per trial. */
#ifndef TUNE_LIVE_H
#define TUNE_LIVE_H

#include "tune/state.h"

/* About to run this trial. */
void tune_live_begin(const tune *t, const tune_trial *it);
/* Redraws the time left; a tick of a child, whose user is the tuning. */
void tune_live_tick(void *tuning);
/* One line about what came out. */
void tune_live_end(const tune *t, const tune_trial *it);
/* "27s", "4.2 min" */
const char *tune_time(char *out, size_t size, double seconds);

#endif
