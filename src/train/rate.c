/* SPDX-License-Identifier: Apache-2.0 */
#include "train/rate.h"

#include <math.h>

size_t rt_rate_warmup(const rt_rate_plan *plan) {
    /* The only step of a training has none. */
    return plan->steps > 1 ? (size_t)ceil(plan->warmup * (double)plan->steps) : 0;
}

double rt_rate_at(const rt_rate_plan *plan, size_t step) {
    /* As in transformers, the rate is 0 at the first step of a warm-up. */
    double warm = (double)rt_rate_warmup(plan), at = (double)step;
    if (at < warm) return plan->rate * at / warm;
    if (plan->decay == RETORT_DECAY_CONSTANT) return plan->rate;
    double rest = (double)plan->steps - warm, done = rest > 0 ? fmin((at - warm) / rest, 1) : 1;
    if (plan->decay == RETORT_DECAY_LINEAR) return plan->rate * (1 - done);
    return plan->rate * (1 + cos(3.14159265358979323846 * done)) / 2;
}
