/* SPDX-License-Identifier: Apache-2.0
 * What a trial is worth, by the rows that select. */
#ifndef TUNE_JUDGE_H
#define TUNE_JUDGE_H

#include "tune/state.h"

/* A trial that was made and measured is done, or dropped where it is slower or larger than the input. */
void tune_judge(const tune *t, tune_trial *it);
/* Whether other processes took so much of the CPUs beside this measurement that it needs others beside it. */
bool tune_speed_misleads(const tune_speed *speed);
/* Points that the trial is expected to lose at most on the sealed rows, by those that select: the loss there, and 1.64
 * standard errors of as many rows as are sealed. The standard error is the bootstrap's; that its tail is a normal one is what
 * is taken for granted here, because the sealed test needs no such thing and a forecast only ranks. Where the exact quantile
 * is known (rows that either model alone gets right), it is within one row of it: test/tune_test.c. Infinite:
 * unknown. */
double tune_forecast(const tune *t, const tune_trial *it);
/* The same of the loss alone. */
double tune_loss(const tune_trial *it);
/* Whether it may be given to the user: made, measured, a form, and neither slower nor larger than the input. */
bool tune_offered(const tune_trial *it);

/* Whether a is the better of two trained floats: what the rows that select can tell apart, else the KL, which is less a matter of
 * chance. */
bool tune_closer(const tune_trial *a, const tune_trial *b);
/* The chance that any claim that is called proven is false. */
#define TUNE_LEVEL 0.05
/* Fixed-sequence testing (Maurer, Hothorn and Lehmacher, 1995): the claims of an opening are tested one after the other, each at the
 * whole level, until one fails; those after it fail with it. Their order must not depend on the sealed rows. Several openings share the
 * level. Sets `adjusted` and `proven` of all claims. */
void tune_adjust(tune *t);

#endif
