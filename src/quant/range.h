/* SPDX-License-Identifier: Apache-2.0
 * Static ranges of activations: of all values that a tensor had on calibration data, those that int8 shall
 * span. */
#ifndef RT_QUANT_RANGE_H
#define RT_QUANT_RANGE_H

#include "quant/calibrate.h"

/* Counts of values, in bins from -2^exponent to 2^exponent; they double in width when a larger one comes.
 * Start with {0}. */
enum { RT_SPREAD_BINS = 4096 };
typedef struct rt_spread {
    uint64_t bins[RT_SPREAD_BINS];
    int exponent;
    float least, largest; /* 0 counts as one of the values */
    double own;           /* what int8 loses of rows that have their own ranges: squared errors */
} rt_spread;
/* Rows [rows, n]; false: one of their elements is not finite. */
bool rt_spread_add(rt_spread *spread, size_t rows, size_t n, const float *x);
/* The {least, largest} with the least sum of squared errors of int8: those of even steps within, the distance
 * to the edge beyond. Both 0, which means that rows keep their own ranges, when all values were 0 or when a
 * range loses far more: a few rows are then much larger than the others (the first and last token of BERT's
 * sequences in front of some matrices), and no range serves both. */
void rt_spread_range(const rt_spread *spread, float range[2]);

/* Gives every value of the graph that becomes int8 the range that it has on the texts, if one serves. */
retort_status rt_fix_ranges(rt_calibration *calibration, rt_graph *graph, retort_error *err);

#endif
