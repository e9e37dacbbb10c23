/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/distinct.h"

#include <stdlib.h>
#include <string.h>

/* Slots probed for a sequence. The table is at most half full and probed in steps that depend on the
 * sequence, so more probes are needed once in 2^32 cases. Texts crafted to collide are treated as distinct
 * after that. */
enum { PROBES = 32 };

static int32_t unpooled_of(const rt_batch *batch, size_t i) {
    return batch->unpooled != NULL ? batch->unpooled[i] : 0;
}

uint64_t rt_distinct_hash(const rt_batch *batch, size_t sequence) {
    uint64_t hash = rt_batch_length(batch, sequence) ^ (uint64_t)unpooled_of(batch, sequence) << 32;
    for (int32_t t = batch->offsets[sequence]; t < batch->offsets[sequence + 1]; t++) {
        uint64_t type = batch->types == NULL ? 0 : (uint32_t)batch->types[t];
        hash = (hash ^ (uint32_t)batch->ids[t] ^ type << 32) * 0x9E3779B97F4A7C15; /* 2^64 / golden ratio */
        hash ^= hash >> 32;
    }
    return hash;
}

static bool is_equal(const rt_batch *batch, size_t a, size_t b) {
    size_t bytes = rt_batch_length(batch, a) * sizeof *batch->ids;
    int32_t x = batch->offsets[a], y = batch->offsets[b];
    return rt_batch_length(batch, a) == rt_batch_length(batch, b) &&
           unpooled_of(batch, a) == unpooled_of(batch, b) &&
           memcmp(batch->ids + x, batch->ids + y, bytes) == 0 &&
           (batch->types == NULL || memcmp(batch->types + x, batch->types + y, bytes) == 0);
}

static void add(rt_distinct *d, size_t sequence) {
    d->first[d->count] = (uint32_t)sequence;
    d->same[sequence] = (uint32_t)d->count++;
}

/* Records the earlier sequence that this one equals, or adds it. `mask`: slots - 1. */
static void look_up(rt_distinct *d, const rt_batch *batch, size_t sequence, uint64_t hash, size_t mask) {
    size_t at = hash & mask, step = (hash >> 32 & mask) | 1; /* odd: reaches every slot */
    for (int probe = 0; probe < PROBES && d->slots[at] != 0; probe++) {
        uint32_t other = d->slots[at] - 1;
        if (d->hashes[other] == hash && is_equal(batch, d->first[other], sequence)) {
            d->same[sequence] = other;
            return;
        }
        at = (at + step) & mask;
    }
    d->hashes[d->count] = hash;
    add(d, sequence);
    if (d->slots[at] == 0) d->slots[at] = (uint32_t)d->count;
}

retort_status rt_distinct_find(rt_distinct *out, const rt_batch *batch, rt_hash_fn hash, retort_error *err) {
    size_t n = batch->n, slots = 2;
    bool search = hash != NULL && n > 1;
    while (search && slots < 2 * n) slots *= 2;
    out->count = 0;
    if (!rt_grow((void **)&out->first, &out->first_capacity, n, sizeof *out->first) ||
        !rt_grow((void **)&out->same, &out->same_capacity, n, sizeof *out->same) ||
        (search && (!rt_grow((void **)&out->hashes, &out->hash_capacity, n, sizeof *out->hashes) ||
                    !rt_grow((void **)&out->slots, &out->slot_capacity, slots, sizeof *out->slots)))) {
        return rt_fail_nomem(err, n * sizeof *out->hashes);
    }
    if (search) memset(out->slots, 0, slots * sizeof *out->slots);
    for (size_t i = 0; i < n; i++) {
        if (search) {
            look_up(out, batch, i, hash(batch, i), slots - 1);
        } else {
            add(out, i);
        }
    }
    return RETORT_OK;
}

void rt_distinct_free(rt_distinct *distinct) {
    free(distinct->first);
    free(distinct->same);
    free(distinct->hashes);
    free(distinct->slots);
    *distinct = (rt_distinct){0};
}
