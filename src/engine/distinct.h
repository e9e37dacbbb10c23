/* SPDX-License-Identifier: Apache-2.0
 * Sequences of a batch that are equal: one of them is computed, and the others get its results. */
#ifndef RT_ENGINE_DISTINCT_H
#define RT_ENGINE_DISTINCT_H

#include "base/error.h"
#include "base/memory.h"

/* Arrays grow to the largest batch met and stay. Start with {0}. */
typedef struct rt_distinct {
    size_t count;     /* distinct sequences */
    uint32_t *first;  /* [count] the first of each in the batch, ascending */
    uint32_t *same;   /* [n] index in `first` of the one that each sequence equals */
    uint64_t *hashes; /* [count] */
    uint32_t *slots;  /* open addressing: index in `first` plus one, 0: free */
    size_t first_capacity, same_capacity, hash_capacity, slot_capacity;
} rt_distinct;

/* A number for a sequence's ids and types, equal for equal ones. */
typedef uint64_t (*rt_hash_fn)(const retort_batch *batch, size_t sequence);
uint64_t rt_distinct_hash(const retort_batch *batch, size_t sequence);

/* Of a batch whose offsets are known to be right. hash: rt_distinct_hash, or NULL to hold all sequences for
 * distinct. Takes time in proportion to the tokens, whatever the batch and the hash: after a fixed number of
 * comparisons a sequence is held for distinct, which costs time and is never wrong. Allocates only when the
 * batch is larger than every one before. */
retort_status rt_distinct_find(rt_distinct *out, const retort_batch *batch, rt_hash_fn hash,
                               retort_error *err);
void rt_distinct_free(rt_distinct *distinct);

#endif
