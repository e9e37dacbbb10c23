/* SPDX-License-Identifier: Apache-2.0 */
#include "load/histogram.h"

#include <math.h>
#include <stddef.h>

/* Values below 128 have one bin each; above, the seven bits after the leading one select the bin. */
static size_t bin_of(uint64_t ns) {
    const uint64_t max = (UINT64_C(1) << 41) - 1;
    if (ns > max) ns = max;
    if (ns < 128) return (size_t)ns;
    int exponent = 63 - __builtin_clzll(ns);
    return ((size_t)exponent - 6) * 128 + (size_t)(ns >> (exponent - 7) & 127);
}

/* The largest value of a bin. */
static uint64_t bin_end(size_t bin) {
    if (bin < 128) return bin;
    size_t shift = bin / 128 - 1;
    return ((128 + bin % 128 + 1) << shift) - 1;
}

void load_histogram_add(load_histogram *h, uint64_t ns) {
    h->bins[bin_of(ns)]++;
    h->count++;
    h->sum += (double)ns;
    if (ns > h->largest) h->largest = ns;
}

double load_histogram_ms(const load_histogram *h, double percent) {
    if (h->count == 0) return NAN;
    uint64_t wanted = (uint64_t)ceil((double)h->count * percent / 100), seen = 0;
    size_t bin = 0;
    if (wanted < 1) wanted = 1;
    while (bin + 1 < LOAD_BINS && (seen += h->bins[bin]) < wanted) bin++;
    uint64_t end = bin_end(bin);
    return (double)(end < h->largest ? end : h->largest) / 1e6;
}
