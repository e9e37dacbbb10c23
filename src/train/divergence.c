/* SPDX-License-Identifier: Apache-2.0 */
#include "train/divergence.h"

#include <math.h>

/* So many texts tell what a model knows before it is trained. */
enum { TEXTS = 32 };

/* The loss of a step is that of the weights before it; the rate of the first step of a warm-up is 0. */
static size_t untrained_steps(const rt_divergence_rule *rule) {
    return rule->warmup > 0 ? 2 : 1;
}

double rt_divergence_start(const rt_divergence_rule *rule, const rt_divergence_state *state) {
    double mean = state->first / (double)untrained_steps(rule);
    return untrained_steps(rule) * rule->texts < TEXTS ? fmax(mean, rule->blank) : mean;
}

bool rt_divergence_is_high(const rt_divergence_rule *rule, const rt_divergence_state *state, size_t step,
                           double mean) {
    return step >= rule->warmup + RT_DIVERGENCE_WINDOW &&
           mean > fmax(2 * rt_divergence_start(rule, state), 0.9 * rule->blank);
}

void rt_divergence_note(const rt_divergence_rule *rule, rt_divergence_state *state, size_t step, double loss,
                        double mean) {
    if (step <= untrained_steps(rule)) state->first += loss;
    if (step % RT_DIVERGENCE_WINDOW != 0) return;
    state->high = rt_divergence_is_high(rule, state, step, mean) ? state->high + 1 : 0;
}
