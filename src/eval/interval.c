/* SPDX-License-Identifier: Apache-2.0 */
#include "eval/interval.h"

#include "base/memory.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 1000 };
static const double NORMAL_95 = 1.959963984540054;

/* ---- A metric of rows that are drawn ------------------------------------------------------------------ */

typedef struct sort_row {
    double value;
    uint32_t index;
} sort_row;

static int compare_rows(const void *left, const void *right) {
    const sort_row *a = left, *b = right;
    if (a->value != b->value) return a->value > b->value ? 1 : -1;
    return a->index > b->index ? 1 : -1;
}

retort_status rt_statistic_open(rt_statistic *out, const rt_tally *rows, size_t n, rt_metric_fn metric,
                                retort_error *err) {
    *out = (rt_statistic){.rows = rows, .n = n, .metric = metric};
    if (metric != NULL) return RETORT_OK;
    sort_row *sorted = rt_calloc(n, sizeof *sorted);
    bool fine = sorted != NULL;
    for (int side = 0; fine && side < 2; side++) {
        out->order[side] = rt_calloc(n, sizeof *out->order[side]);
        out->ranks[side] = rt_calloc(n, sizeof *out->ranks[side]);
        fine = out->order[side] != NULL && out->ranks[side] != NULL;
        if (!fine) break;
        for (size_t i = 0; i < n; i++) sorted[i] = (sort_row){rows[i].sum[side], (uint32_t)i};
        qsort(sorted, n, sizeof *sorted, compare_rows);
        for (size_t i = 0; i < n; i++) out->order[side][i] = sorted[i].index;
    }
    free(sorted);
    if (fine) return RETORT_OK;
    rt_statistic_free(out);
    return rt_fail_nomem(err, n * sizeof *sorted);
}

void rt_statistic_free(rt_statistic *statistic) {
    for (int side = 0; side < 2; side++) {
        free(statistic->order[side]);
        free(statistic->ranks[side]);
    }
    *statistic = (rt_statistic){0};
}

static double drawn(const uint32_t *times, size_t row) {
    return times != NULL ? times[row] : 1;
}

/* Ranks from 0; rows with the same value, and draws of the same row, share their mean rank. Returns the number of draws. */
static double rank_draws(const rt_statistic *s, const uint32_t *times, int side) {
    const uint32_t *order = s->order[side];
    double before = 0;
    for (size_t from = 0, to; from < s->n; from = to) {
        double value = s->rows[order[from]].sum[side], alike = 0;
        to = from;
        do alike += drawn(times, order[to]);
        while (++to < s->n && s->rows[order[to]].sum[side] == value);
        for (size_t i = from; i < to; i++) s->ranks[side][order[i]] = before + (alike - 1) / 2;
        before += alike;
    }
    return before;
}

static double rank_correlation(const rt_statistic *s, const uint32_t *times) {
    double mean = (rank_draws(s, times, 0) - 1) / 2, xy = 0, xx = 0, yy = 0;
    rank_draws(s, times, 1);
    for (size_t i = 0; i < s->n; i++) {
        double x = s->ranks[0][i] - mean, y = s->ranks[1][i] - mean, weight = drawn(times, i);
        xy += weight * x * y;
        xx += weight * x * x;
        yy += weight * y * y;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

double rt_statistic_of(const rt_statistic *statistic, const uint32_t *times) {
    double sum[RT_TALLY] = {0};
    if (statistic->metric == NULL) return rank_correlation(statistic, times);
    for (size_t i = 0; i < statistic->n; i++) {
        double weight = drawn(times, i);
        for (int k = 0; k < RT_TALLY; k++) sum[k] += weight * statistic->rows[i].sum[k];
    }
    return statistic->metric(sum);
}

/* ---- Intervals ---------------------------------------------------------------------------------------- */

rt_interval rt_wilson(double right, size_t n) {
    double rows = (double)n, share = right / rows, z2 = NORMAL_95 * NORMAL_95;
    if (n == 0) return (rt_interval){NAN, NAN};
    double middle = (share + z2 / (2 * rows)) / (1 + z2 / rows);
    double half = NORMAL_95 * sqrt(share * (1 - share) / rows + z2 / (4 * rows * rows)) / (1 + z2 / rows);
    return (rt_interval){fmax(middle - half, 0), fmin(middle + half, 1)};
}

static int compare_reals(const void *left, const void *right) {
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

/* The middle 95 % of the values that are defined. */
static rt_interval middle_of(double *values, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i])) values[kept++] = values[i];
    }
    if (kept == 0) return (rt_interval){NAN, NAN};
    qsort(values, kept, sizeof *values, compare_reals);
    size_t cut = kept / 40;
    return (rt_interval){values[cut], values[kept - 1 - cut]};
}

static void draw(uint32_t *times, size_t n, uint64_t *state) {
    memset(times, 0, n * sizeof *times);
    for (size_t i = 0; i < n; i++) times[(rt_random(state) >> 32) * n >> 32]++;
}

retort_status rt_bootstrap(const rt_statistic *first, const rt_statistic *other, rt_interval *value,
                           rt_interval *difference, retort_error *err) {
    size_t n = first->n;
    uint64_t state = 1;
    *difference = (rt_interval){NAN, NAN};
    if (value != NULL) *value = *difference;
    if (n < 2) return RETORT_OK;
    uint32_t *times = rt_calloc(n, sizeof *times);
    double *values = rt_calloc(DRAWS, sizeof *values), *differences = rt_calloc(DRAWS, sizeof *differences);
    bool fine = times != NULL && values != NULL && differences != NULL;
    for (size_t i = 0; fine && i < DRAWS; i++) {
        draw(times, n, &state);
        values[i] = rt_statistic_of(first, times);
        differences[i] = other != NULL ? values[i] - rt_statistic_of(other, times) : NAN;
    }
    if (fine) {
        if (value != NULL) *value = middle_of(values, DRAWS);
        *difference = middle_of(differences, DRAWS);
    }
    free(times);
    free(values);
    free(differences);
    return fine ? RETORT_OK : rt_fail_nomem(err, n * sizeof *times);
}

retort_status rt_bootstrap_bound(const rt_statistic *first, const rt_statistic *other, rt_bound *bound,
                                 retort_error *err) {
    size_t n = first->n, kept = 0, lost = 0;
    uint64_t state = 2; /* other draws than those of the intervals */
    bound->low = bound->p = NAN;
    if (n < 2 || bound->draws == 0) return RETORT_OK;
    uint32_t *times = rt_calloc(n, sizeof *times);
    double *values = rt_calloc(bound->draws, sizeof *values);
    bool fine = times != NULL && values != NULL;
    for (size_t i = 0; fine && i < bound->draws; i++) {
        draw(times, n, &state);
        double value = rt_statistic_of(first, times) - rt_statistic_of(other, times);
        if (!isfinite(value)) continue;
        lost += value <= -bound->floor;
        values[kept++] = value;
    }
    if (fine && kept > 0) {
        qsort(values, kept, sizeof *values, compare_reals);
        bound->low = values[(size_t)((1 - bound->confidence) * (double)kept)];
        bound->p = ((double)lost + 1) / ((double)kept + 1);
    }
    free(times);
    free(values);
    return fine ? RETORT_OK : rt_fail_nomem(err, bound->draws * sizeof *values);
}
