/* SPDX-License-Identifier: Apache-2.0 */
#include "train/batches.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

/* Fisher and Yates. Texts are not sorted by length: nothing is padded, so equal lengths save nothing. */
static void shuffle(rt_batches *b, size_t epoch) {
    uint64_t random = b->seed + (uint64_t)epoch * 0xd1342543de82ef95u;
    size_t count = b->examples->count;
    for (size_t i = 0; i < count; i++) b->order[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)(rt_random(&random) % i), moved = b->order[i - 1];
        b->order[i - 1] = b->order[j];
        b->order[j] = moved;
    }
    b->epoch = epoch;
}

retort_status rt_batches_open(rt_batches *out, const rt_examples *examples, size_t batch, uint64_t seed,
                              retort_error *err) {
    *out = (rt_batches){.examples = examples, .batch = batch, .seed = seed};
    out->steps = (examples->count + batch - 1) / batch;
    out->order = rt_calloc(examples->count, sizeof *out->order);
    if (out->order == NULL) return rt_fail_nomem(err, examples->count * sizeof *out->order);
    shuffle(out, 0);
    return RETORT_OK;
}

void rt_batches_free(rt_batches *b) {
    free(b->order);
    free(b->ids);
    free(b->types);
    free(b->offsets);
    *b = (rt_batches){0};
}

void rt_batches_at(rt_batches *b, size_t step, const size_t **which, size_t *n) {
    size_t epoch = step / b->steps, from = step % b->steps * b->batch;
    if (epoch != b->epoch) shuffle(b, epoch);
    *which = b->order + from;
    *n = rt_min(b->batch, b->examples->count - from);
}

static void add_sequence(rt_batches *b, size_t index, size_t first, size_t length) {
    size_t at = (size_t)b->offsets[index];
    memcpy(b->ids + at, b->examples->ids + first, length * sizeof *b->ids);
    memcpy(b->types + at, b->examples->types + first, length * sizeof *b->types);
    b->offsets[index + 1] = (int32_t)(at + length);
}

retort_status rt_batches_sequences(rt_batches *b, const size_t *which, size_t n, retort_batch *out,
                                   retort_error *err) {
    const rt_example *items = b->examples->items;
    bool pairs = b->examples->kind == RT_TARGET_PAIR;
    size_t tokens = 0, sequences = pairs ? 2 * n : n;
    for (size_t i = 0; i < n; i++)
        tokens += items[which[i]].length + (pairs ? items[which[i]].other_length : 0);
    if (tokens > INT32_MAX || !rt_grow((void **)&b->ids, &b->id_capacity, tokens, sizeof *b->ids) ||
        !rt_grow((void **)&b->types, &b->type_capacity, tokens, sizeof *b->types) ||
        !rt_grow((void **)&b->offsets, &b->offset_capacity, sequences + 1, sizeof *b->offsets))
        return rt_fail_nomem(err, tokens * sizeof *b->ids);
    b->offsets[0] = 0;
    for (size_t i = 0; i < n; i++) add_sequence(b, i, items[which[i]].first, items[which[i]].length);
    for (size_t i = 0; pairs && i < n; i++)
        add_sequence(b, n + i, items[which[i]].other_first, items[which[i]].other_length);
    *out = (retort_batch){.n = sequences, .ids = b->ids, .types = b->types, .offsets = b->offsets};
    return RETORT_OK;
}
