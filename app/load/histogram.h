/* SPDX-License-Identifier: Apache-2.0
 * Latencies: bins that widen with their values, each 1/128 of it. The last ends at 2^41 ns, 37 minutes. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

enum { LOAD_BINS = 36 * 128 };
typedef struct load_histogram {
    uint64_t bins[LOAD_BINS], count, largest;
    double sum;
} load_histogram;
void load_histogram_add(load_histogram *h, uint64_t ns);
/* The percentile in milliseconds, rounded up to the end of a bin; NaN without values. */
double load_histogram_ms(const load_histogram *h, double percent);

#endif
