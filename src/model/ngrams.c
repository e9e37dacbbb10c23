/* SPDX-License-Identifier: Apache-2.0 */
#include "model/ngrams.h"

#include <math.h>
#include <string.h>

enum { MOST_BUCKETS = 1 << 18, LEAST_BUCKETS = 64, MOST_WEIGHTS = 1 << 21 };

/* The finaliser of SplitMix64: every bit of the ids reaches the low ones. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t rt_ngrams_bucket(const int32_t *ids, size_t n, size_t i, size_t buckets) {
    bool one = i < n;
    uint64_t first = (uint32_t)ids[one ? i : i - n],
             second = one ? 0 : (uint64_t)(uint32_t)ids[i - n + 1] + 1;
    return (size_t)mix(first << 32 | second) & (buckets - 1);
}

size_t rt_ngrams_buckets(size_t labels) {
    size_t buckets = MOST_BUCKETS;
    while (buckets > LEAST_BUCKETS && buckets > MOST_WEIGHTS / labels) buckets /= 2;
    return buckets;
}

void rt_ngrams_run(const rt_ngrams *model, const int32_t *ids, size_t n, int32_t *sums, float *logits) {
    size_t labels = model->labels, count = rt_ngrams_count(n);
    memset(sums, 0, labels * sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        const int8_t *row = model->weights + rt_ngrams_bucket(ids, n, i, model->buckets) * labels;
        for (size_t c = 0; c < labels; c++) sums[c] += row[c];
    }
    float norm = count > 0 ? 1 / sqrtf((float)count) : 0;
    for (size_t c = 0; c < labels; c++)
        logits[c] = model->biases[c] + model->scales[c] * ((float)sums[c] * norm);
}
