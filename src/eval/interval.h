/* SPDX-License-Identifier: Apache-2.0
 * How sure a metric is: 95 % intervals of it, and of the difference between two models on the same rows. */
#ifndef RT_EVAL_INTERVAL_H
#define RT_EVAL_INTERVAL_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* The numbers of a row (a text, a sentence, a question) whose sums over rows make a metric; for a rank correlation: what
 * was found and what was wanted. */
enum { RT_TALLY = 3 };
typedef struct rt_tally {
    double sum[RT_TALLY];
} rt_tally;
typedef double (*rt_metric_fn)(const double sum[RT_TALLY]);

typedef struct rt_interval {
    double low, high;
} rt_interval;

/* A metric of n rows, of which each may be drawn several times. */
typedef struct rt_statistic {
    const rt_tally *rows;
    size_t n;
    rt_metric_fn metric; /* NULL: Spearman's rank correlation */
    uint32_t *order[2];  /* rows by what was found, and by what was wanted */
    double *ranks[2];    /* of each row, in the draw */
} rt_statistic;
retort_status rt_statistic_open(rt_statistic *out, const rt_tally *rows, size_t n, rt_metric_fn metric,
                                retort_error *err);
void rt_statistic_free(rt_statistic *statistic);
/* times [n]: how often each row is drawn; NULL: once. */
double rt_statistic_of(const rt_statistic *statistic, const uint32_t *times);

/* Of a share (Wilson, 1927). Not empty where all or none are right, as the bootstrap's is. */
rt_interval rt_wilson(double right, size_t n);
/* By the bootstrap over rows (Efron, 1979): percentiles of 1,000 draws of n rows, always the same ones. With `other`,
 * `difference` is that of first − other, from the same rows drawn for both. `value` may be NULL. NaN with fewer than two rows, or where the
 * metric is not defined. */
retort_status rt_bootstrap(const rt_statistic *first, const rt_statistic *other, rt_interval *value,
                           rt_interval *difference, retort_error *err);

/* One-sided, by the bootstrap over paired rows of first − other: a lower bound of the difference, and the share of draws in which it is
 * −floor or less. */
typedef struct rt_bound {
    size_t draws;
    double confidence, floor;
    double low, p; /* NaN with fewer than two rows */
} rt_bound;
retort_status rt_bootstrap_bound(const rt_statistic *first, const rt_statistic *other, rt_bound *bound,
                                 retort_error *err);

#endif
