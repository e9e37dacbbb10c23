/* SPDX-License-Identifier: Apache-2.0
 * Whether a loss that is still finite diverges: after the warm-up, its mean over 50 steps is twice in a row above twice what it
 * was before the first step, and above 0.9 of what a blank answer loses, the same for all texts. That is where rates that are
 * too high end: sst2 at rates from 0.003 to 0.5 goes from 0.19 to ln 2, banking77 at 0.05 from 0.002 to ln 77. A new head
 * begins there, so it has to be twice as bad. */
#ifndef RT_TRAIN_DIVERGENCE_H
#define RT_TRAIN_DIVERGENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Steps of a mean, and how many of them in a row are too high. */
enum { RT_DIVERGENCE_WINDOW = 50, RT_DIVERGENCE_WINDOWS = 2 };

typedef struct rt_divergence_rule {
    double blank;  /* the loss of a blank answer */
    size_t warmup; /* steps */
    size_t texts;  /* per step */
} rt_divergence_rule;

/* What a checkpoint keeps of it: numbers of eight bytes each. */
typedef struct rt_divergence_state {
    double first;  /* sum of the losses of steps before which nothing was learned */
    uint64_t high; /* windows in a row that were too high */
} rt_divergence_state;

/* The loss before the first step: at least that of a blank answer where few texts tell. */
double rt_divergence_start(const rt_divergence_rule *rule, const rt_divergence_state *state);
/* mean: of the last RT_DIVERGENCE_WINDOW losses after step number `step`, from 1. */
bool rt_divergence_is_high(const rt_divergence_rule *rule, const rt_divergence_state *state, size_t step,
                           double mean);
/* After each step: its loss, and that mean. */
void rt_divergence_note(const rt_divergence_rule *rule, rt_divergence_state *state, size_t step, double loss,
                        double mean);

#endif
