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
    b->step = step;
    *which = b->order + from;
    *n = rt_min(b->batch, b->examples->count - from);
}

/* ---- Texts that nobody wrote ---- */

/* From 0 below n. */
static size_t draw(uint64_t *random, size_t n) {
    return (size_t)(rt_random(random) % n);
}

/* A span of random length and place becomes as much of another example's first sequence: both keep their length, so that
 * rows of tokens stay where they are, and the special tokens, which a sequence begins and ends with. A teacher is less
 * certain of such texts than of those that it was trained on, and there is no end of them. */
static void mix(const rt_batches *b, size_t index, int32_t *ids, size_t length) {
    enum { UNIT = 1 << 20 };
    uint64_t random = b->seed + b->step * 0xd1342543de82ef95u + (uint64_t)index * 0x9e3779b97f4a7c15u;
    const rt_example *other = &b->examples->items[draw(&random, b->examples->count)];
    if ((double)draw(&random, UNIT) >= b->mix * UNIT || length < 3 || other->length < 3) return;
    const int32_t *theirs = b->examples->ids + other->first, begin = ids[0], end = ids[length - 1];
    size_t from = 1 + draw(&random, length - 2), most = length - 1 - from;
    size_t source = 1 + draw(&random, other->length - 2);
    size_t count = rt_min(1 + draw(&random, most), other->length - 1 - source);
    for (size_t i = 0; i < count; i++) {
        int32_t own = ids[from + i], new = theirs[source + i];
        bool special = own == begin || own == end || new == begin || new == end;
        if (!special) ids[from + i] = new;
    }
}

/* ---- Sequences ---- */

static void add_sequence(rt_batches *b, size_t index, size_t first, size_t length) {
    size_t at = (size_t)b->offsets[index];
    memcpy(b->ids + at, b->examples->ids + first, length * sizeof *b->ids);
    memcpy(b->types + at, b->examples->types + first, length * sizeof *b->types);
    if (b->mix > 0) mix(b, index, b->ids + at, length);
    b->offsets[index + 1] = (int32_t)(at + length);
}

retort_status rt_batches_sequences(rt_batches *b, const size_t *which, size_t n, rt_batch *out,
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
    *out = (rt_batch){.n = sequences, .ids = b->ids, .types = b->types, .offsets = b->offsets};
    return RETORT_OK;
}
