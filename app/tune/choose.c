/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/choose.h"
#include "tune/judge.h"

/* Times within this of each other are the same. */
static const double same_time = 0.03;

static bool is_faster(const tune_trial *a, const tune_trial *b) {
    if (a->speed.ratio > b->speed.ratio * (1 + same_time)) return true;
    bool same = a->speed.ratio * (1 + same_time) >= b->speed.ratio;
    return same && a->bytes < b->bytes;
}

static bool is_better(const tune_trial *a, const tune_trial *b, tune_goal goal) {
    if (goal == TUNE_FASTEST) return is_faster(a, b);
    return a->bytes < b->bytes || (a->bytes == b->bytes && is_faster(a, b));
}

const tune_trial *tune_choose_within(const tune *t, tune_goal goal, double floor) {
    const tune_trial *best = NULL;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (!tune_offered(it) || !(tune_forecast(t, it) <= floor)) continue;
        if (best == NULL || is_better(it, best, goal)) best = it;
    }
    return best;
}

const tune_trial *tune_choose(const tune *t, tune_goal goal) {
    return tune_choose_within(t, goal, t->settings->floor);
}

static bool is_safer(const tune *t, const tune_trial *a, const tune_trial *b) {
    double loss = tune_forecast(t, a), other = tune_forecast(t, b);
    return loss < other || (loss == other && a->score.kl < b->score.kl);
}

/* shape: NULL for any. */
static const tune_trial *safest_of(const tune *t, const tune_shape *shape) {
    const tune_trial *best = NULL;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *it = &t->trials[i];
        if (!tune_offered(it) || (shape != NULL && it->shape != shape)) continue;
        if (best == NULL || is_safer(t, it, best)) best = it;
    }
    return best;
}

const tune_trial *tune_choose_of(const tune *t, const tune_shape *shape) {
    const tune_trial *best = safest_of(t, shape);
    return best != NULL && tune_forecast(t, best) <= t->settings->floor ? best : NULL;
}

const tune_trial *tune_safest(const tune *t) {
    return safest_of(t, NULL);
}

bool tune_on_frontier(const tune *t, const tune_trial *it) {
    if (!tune_offered(it)) return false;
    for (size_t i = 0; i < t->trial_count; i++) {
        const tune_trial *other = &t->trials[i];
        if (other == it || !tune_offered(other)) continue;
        double gain = other->speed.ratio / it->speed.ratio - 1;
        bool as_good = tune_loss(other) <= tune_loss(it) && other->score.kl <= it->score.kl && gain >= 0 &&
                       other->bytes <= it->bytes;
        if (as_good && (gain > same_time || other->bytes < it->bytes || tune_loss(other) < tune_loss(it)))
            return false;
    }
    return true;
}
