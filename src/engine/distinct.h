/* SPDX-License-Identifier: Apache-2.0
 * Finds equal sequences in a batch: one of them is computed, and the others get its results. */
#ifndef RT_ENGINE_DISTINCT_H
#define RT_ENGINE_DISTINCT_H

#include "base/error.h"
#include "base/memory.h"
#include "engine/batch.h"

/* Arrays grow to the largest batch so far. Start with {0}. */
typedef struct rt_distinct {
    size_t count;     /* distinct sequences */
    uint32_t *first;  /* [count] the first of each in the batch, ascending */
    uint32_t *same;   /* [n] for each sequence, index in `first` of its representative */
    uint64_t *hashes; /* [count] */
    uint32_t *slots;  /* open addressing: index in `first` plus one, 0: free */
    size_t first_capacity, same_capacity, hash_capacity, slot_capacity;
} rt_distinct;

/* The hash of a sequence's ids and types, and of how many of them are not pooled. */
typedef uint64_t (*rt_hash_fn)(const rt_batch *batch, size_t sequence);
uint64_t rt_distinct_hash(const rt_batch *batch, size_t sequence);

/* The offsets of the batch must have been checked. hash: rt_distinct_hash, or NULL to treat all sequences
 * as distinct. Linear in the number of tokens, whatever the batch and the hash: after a fixed number of
 * comparisons a sequence counts as distinct, which costs time but is always correct. Allocates only if the
 * batch is larger than any before. */
retort_status rt_distinct_find(rt_distinct *out, const rt_batch *batch, rt_hash_fn hash, retort_error *err);
void rt_distinct_free(rt_distinct *distinct);

#endif
