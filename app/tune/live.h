/* SPDX-License-Identifier: Apache-2.0
 * What a tuning tells while it runs: on a terminal the frontier as a block that is drawn in place, and everywhere a line per
 * trial. */
#ifndef TUNE_LIVE_H
#define TUNE_LIVE_H

#include "tune/state.h"

/* About to run this trial; or something else. */
void tune_live_begin(const tune_trial *it);
void tune_live_now(const char *what, const char *why);
/* Draws the block again: the floor, the models that no other beats, what runs and why, the time left. A tick of a child, whose
 * user is the tuning. */
void tune_live_tick(void *tuning);
/* One line about what came out. */
void tune_live_end(const tune *t, const tune_trial *it);
/* "27s", "4.2 min" */
const char *tune_time(char *out, size_t size, double seconds);

#endif
