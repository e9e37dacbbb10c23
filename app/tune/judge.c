/* SPDX-License-Identifier: Apache-2.0 */
#include "tune/judge.h"

#include <math.h>
#include <stdio.h>

static bool is_slower(const tune_trial *it) {
    static const double noise = 0.02;
    return it->speed.ratio < 1 - noise;
}

void tune_judge(const tune *t, tune_trial *it) {
    it->status = TUNE_DONE;
    if (it->form == TUNE_FLOATS) return;
    const char *larger = it->bytes > t->input_bytes ? "larger" : NULL,
               *slower = is_slower(it) ? "slower" : NULL;
    if (larger == NULL && slower == NULL) return;
    it->status = TUNE_DROPPED;
    snprintf(it->why, sizeof it->why, "%s than the input (%.2f times its speed, %.1f of its %.1f MB)",
             larger != NULL ? larger : slower, it->speed.ratio, (double)it->bytes * 1e-6,
             (double)t->input_bytes * 1e-6);
}

bool tune_speed_misleads(const tune_speed *speed) {
    static const double busy =
        0.1; /* share of the CPUs; one measurement was off by a factor of 7 where it was worst */
    return speed->others > busy;
}

double tune_loss(const tune_trial *it) {
    return it->score.n > 0 && isfinite(it->score.difference) ? -100 * it->score.difference : (double)INFINITY;
}

/* Of the difference; NaN without an interval. */
static double standard_error(const tune_score *s) {
    static const double two_sided = 2 * 1.96;
    return (s->high - s->low) / two_sided;
}

double tune_forecast(const tune *t, const tune_trial *it) {
    static const double z = 1.645;
    const tune_score *s = &it->score;
    if (it->status != TUNE_DONE || s->n == 0 || !isfinite(s->difference)) return (double)INFINITY;
    double n = (double)s->n, sealed = (double)t->split.sealed_rows;
    /* Of a row that changes the metric by -1, 0 or 1; and as if one more text had changed: few rows without a change are not
     * proof of none. */
    double changed = isfinite(s->agreement) ? fmax(1 - s->agreement, 0) : 0,
           variance = fmax(changed - s->difference * s->difference, 0),
           least = sqrt((variance + 1 / n) / sealed);
    return tune_loss(it) + 100 * z * fmax(standard_error(s) * sqrt(n / sealed), least);
}

/* Of the points that a trial loses. */
static double error_of(const tune_trial *it) {
    double error = standard_error(&it->score);
    return isfinite(error) ? 100 * error : 0;
}

/* Of banking77, 800 rows chose KL 0.096 and -0.25 points over 0.045 and -0.62: within the noise, and wrong. */
bool tune_closer(const tune_trial *a, const tune_trial *b) {
    static const double z = 1.645;
    double gain = tune_loss(b) - tune_loss(a), noise = z * hypot(error_of(a), error_of(b));
    if (!isfinite(a->score.kl) || !isfinite(b->score.kl) || fabs(gain) > noise) return gain > 0;
    return a->score.kl < b->score.kl;
}

bool tune_offered(const tune_trial *it) {
    return it->status == TUNE_DONE && it->form != TUNE_FLOATS;
}

void tune_adjust(tune *t) {
    for (size_t i = 0; i < t->claim_count; i++) {
        double most = 0;
        for (size_t k = 0; k <= i; k++) {
            if (t->claims[k].opening == t->claims[i].opening) most = fmax(most, t->claims[k].p);
        }
        t->claims[i].adjusted = fmin(most * t->openings, 1);
        t->claims[i].proven = t->claims[i].adjusted <= TUNE_LEVEL;
    }
}
