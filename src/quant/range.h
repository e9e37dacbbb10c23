/* SPDX-License-Identifier: Apache-2.0
 * Static ranges of activations: which part of the values on calibration data int8 covers. */
#ifndef RT_QUANT_RANGE_H
#define RT_QUANT_RANGE_H

#include "quant/calibrate.h"

/* A histogram with bins from -2^exponent to 2^exponent, whose width doubles when a larger value comes. Start
 * with {0}. */
enum { RT_HISTOGRAM_BINS = 4096 };
typedef struct rt_histogram {
    uint64_t bins[RT_HISTOGRAM_BINS];
    int exponent;
    float min, max; /* 0 counts as one of the values */
    double own;     /* squared error of int8 with a range per row */
} rt_histogram;
/* Adds rows [rows, n]; false: an element is not finite. */
bool rt_histogram_add(rt_histogram *histogram, size_t rows, size_t n, const float *x);
/* Finds the {min, max} with the least sum of squared errors of int8: those of uniform steps inside,
 * and the distance to the edge outside. Both are 0, which means a range per row, if all values were 0 or if
 * a static range loses far more: a few rows are then much larger than the others (the first and last token
 * of BERT sequences, before some matrices), and no single range fits both. */
void rt_histogram_range(const rt_histogram *histogram, float range[2]);

/* Gives every value of the graph that becomes int8 its range on the texts, where a static range fits. */
retort_status rt_fix_ranges(rt_calibration *calibration, rt_graph *graph, retort_error *err);

#endif
