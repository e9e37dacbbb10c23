/* SPDX-License-Identifier: Apache-2.0
 * BertNormalizer: clean, space ideographs, strip accents, lower case, in this order. */
#ifndef RT_TEXT_BERT_NORMALIZER_H
#define RT_TEXT_BERT_NORMALIZER_H

#include "base/hash.h"
#include "base/memory.h"

typedef struct rt_normalizer {
    bool clean, ideographs, strip, lower;
} rt_normalizer;

typedef struct rt_point {
    uint32_t point;
    uint32_t source; /* index of the code point of the original text it comes from; never decreases */
    uint32_t at;     /* where its UTF-8 begins in `bytes` */
} rt_point;

/* A normalised piece of text. Start with {0}, reuse at will. */
typedef struct rt_normalized {
    rt_point *points; /* [count + 1], the last one only marks the end */
    uint8_t *bytes;   /* the points as UTF-8; then RT_HASH_MARGIN */
    size_t count, point_capacity, byte_capacity;
    bool marked;     /* there may be marks to put in order and to drop */
    rt_point *spare; /* for sorting long runs of marks */
    size_t spare_capacity;
} rt_normalized;
void rt_normalized_free(rt_normalized *normalized);

/* Longest text: what it becomes must be counted in 32 bits. */
enum { RT_TEXT_MAX = 1 << 28 };

/* Replaces *out. `source` is the index of the text's first code point, *next that of what comes after it.
 * size <= RT_TEXT_MAX. False when out of memory. */
bool rt_normalize(const rt_normalizer *normalizer, const uint8_t *text, size_t size, uint32_t source,
                  rt_normalized *out, uint32_t *next);

#endif
