/* SPDX-License-Identifier: Apache-2.0
 * A linear model on the token ids of a text: the unigrams and bigrams of ids, hashed into buckets ("hashing trick",
 * Weinberger et al. 2009, 0902.2206), each with an int8 weight per label. It costs about as much as hashing does, and
 * knows topics and intents well, sentiment less so. Integer sums: the same bits on every CPU. */
#ifndef RT_MODEL_NGRAMS_H
#define RT_MODEL_NGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rt_ngrams {
    size_t buckets; /* a power of two */
    size_t labels;
    const int8_t *weights; /* [buckets, labels] */
    const float *scales;   /* [labels] of the weights */
    const float *biases;   /* [labels] */
} rt_ngrams;

/* The n-grams of n ids: each id, then each two that follow each other. */
static inline size_t rt_ngrams_count(size_t n) {
    return n > 0 ? 2 * n - 1 : 0;
}
/* The bucket of n-gram i < rt_ngrams_count(n). */
size_t rt_ngrams_bucket(const int32_t *ids, size_t n, size_t i, size_t buckets);
/* The buckets for this many labels: their weights take at most 2 MB. */
size_t rt_ngrams_buckets(size_t labels);
/* logits [labels] of a text: biases + scales · Σ weights / √n-grams. sums: scratch [labels]. */
void rt_ngrams_run(const rt_ngrams *model, const int32_t *ids, size_t n, int32_t *sums, float *logits);

#endif
