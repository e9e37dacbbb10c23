/* SPDX-License-Identifier: Apache-2.0
 * Which models are best, by the rows that select alone. */
#ifndef TUNE_CHOOSE_H
#define TUNE_CHOOSE_H

#include "tune/state.h"

/* The fastest (or smallest) model whose forecast is within the floor; NULL: none. */
const tune_trial *tune_choose(const tune *t, tune_goal goal);
const tune_trial *tune_choose_within(const tune *t, tune_goal goal, double floor);
/* Of a shape, the one with the best forecast, if that is within the floor; NULL: none. */
const tune_trial *tune_choose_of(const tune *t, const tune_shape *shape);
/* The one that is expected to lose least; NULL: none was made. */
const tune_trial *tune_safest(const tune *t);
/* Whether no other model that is offered is at least as good in loss, time and size, and better in one. */
bool tune_on_frontier(const tune *t, const tune_trial *it);

#endif
