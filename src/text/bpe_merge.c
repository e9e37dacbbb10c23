/* SPDX-License-Identifier: Apache-2.0
 * Two ways. Up to SCAN_MAX symbols, the ranks of all neighbours are searched for the lowest after each merge: few
 * numbers in a row, no heap. Longer words, which may be an attack, take a heap: n log n.
 *
 * The library has the heap for all. It leaves entries there when a symbol changes, and recognises the stale ones by
 * the piece they would make. That is the plain rule unless two merges make the same piece: then a stale entry may be
 * taken for a pair of higher rank. So words of such a model always take the heap. */
#include "text/bpe_merge.h"

#include <string.h>

enum { SCAN_MAX = 48 };

typedef struct rt_queued {
    uint64_t order; /* rank, then position: from the left */
    uint32_t id;
} rt_queued;

bool rt_symbols_open(rt_symbols *symbols, rt_tokens *tokens, size_t capacity) {
    size_t bytes, numbers;
    const size_t each = 4 * sizeof(uint32_t) + 3 * sizeof(rt_queued);
    *symbols = (rt_symbols){0};
    if (!rt_mul(capacity, each, &bytes) || !rt_grow(&tokens->work, &tokens->work_capacity, bytes, 1))
        return false;
    numbers = 3 * capacity * sizeof(rt_queued);
    symbols->queue = tokens->work;
    symbols->ids = (uint32_t *)(void *)((uint8_t *)tokens->work + numbers);
    symbols->lengths = symbols->ids + capacity;
    symbols->first = symbols->lengths + capacity;
    symbols->second = symbols->first + capacity;
    return true;
}

/* ---- Few symbols -------------------------------------------------------------------------------------- */

static void look_up(const rt_symbols *symbols, const rt_bpe_table *table, size_t at) {
    const rt_merge *merge =
        at + 1 < symbols->count ? rt_bpe_merge(table, symbols->ids[at], symbols->ids[at + 1]) : NULL;
    symbols->first[at] = merge != NULL ? merge->rank : RT_NO_RANK;
    symbols->second[at] = merge != NULL ? merge->id : 0;
}

static void close_gap(uint32_t *list, size_t at, size_t count) {
    memmove(list + at, list + at + 1, (count - at - 1) * sizeof *list);
}

/* `first` has the ranks of neighbours, `second` what they become. */
static void merge_by_scan(rt_symbols *symbols, const rt_bpe_table *table) {
    uint32_t *ranks = symbols->first, *results = symbols->second;
    for (size_t i = 0; i < symbols->count; i++) look_up(symbols, table, i);
    while (symbols->count > 1) {
        size_t best = 0;
        for (size_t i = 1; i < symbols->count; i++) best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == RT_NO_RANK) return;
        symbols->ids[best] = results[best];
        symbols->lengths[best] += symbols->lengths[best + 1];
        close_gap(symbols->ids, best + 1, symbols->count);
        close_gap(symbols->lengths, best + 1, symbols->count);
        close_gap(ranks, best + 1, symbols->count);
        close_gap(results, best + 1, symbols->count);
        symbols->count--;
        look_up(symbols, table, best);
        if (best > 0) look_up(symbols, table, best - 1);
    }
}

/* ---- Many symbols --------------------------------------------------------------------------------------- */

static void push_queue(rt_queued *queue, size_t *count, rt_queued entry) {
    size_t at = (*count)++;
    for (; at > 0 && queue[(at - 1) / 2].order > entry.order; at = (at - 1) / 2)
        queue[at] = queue[(at - 1) / 2];
    queue[at] = entry;
}

static rt_queued pop_queue(rt_queued *queue, size_t *count) {
    rt_queued top = queue[0], last = queue[--*count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *count; at = child) {
        if (child + 1 < *count && queue[child + 1].order < queue[child].order) child++;
        if (queue[child].order >= last.order) break;
        queue[at] = queue[child];
    }
    queue[at] = last;
    return top;
}

static const uint32_t NONE = UINT32_MAX;

static void queue_pair(const rt_symbols *symbols, const rt_bpe_table *table, size_t *queued, uint32_t left,
                       uint32_t right) {
    const rt_merge *merge = rt_bpe_merge(table, symbols->ids[left], symbols->ids[right]);
    if (merge == NULL) return;
    push_queue(symbols->queue, queued, (rt_queued){(uint64_t)merge->rank << 32 | left, merge->id});
}

/* `first` has the symbol before each, `second` the one behind it; a symbol that is gone has no length. */
static void merge_by_queue(rt_symbols *symbols, const rt_bpe_table *table) {
    uint32_t *before = symbols->first, *behind = symbols->second, *ids = symbols->ids,
             *lengths = symbols->lengths;
    uint32_t count = (uint32_t)symbols->count;
    size_t queued = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        before[i] = i > 0 ? i - 1 : NONE;
        behind[i] = i + 1 < count ? i + 1 : NONE;
        if (i + 1 < count) queue_pair(symbols, table, &queued, i, i + 1);
    }
    while (queued > 0) {
        rt_queued top = pop_queue(symbols->queue, &queued);
        uint32_t at = (uint32_t)top.order, next = behind[at];
        if (lengths[at] == 0 || next == NONE) continue;
        const rt_merge *merge = rt_bpe_merge(table, ids[at], ids[next]);
        if (merge == NULL || merge->id != top.id) continue; /* stale */
        ids[at] = top.id;
        lengths[at] += lengths[next];
        lengths[next] = 0;
        behind[at] = behind[next];
        if (behind[at] != NONE) before[behind[at]] = at;
        if (before[at] != NONE) queue_pair(symbols, table, &queued, before[at], at);
        if (behind[at] != NONE) queue_pair(symbols, table, &queued, at, behind[at]);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (lengths[i] == 0) continue;
        ids[kept] = ids[i];
        lengths[kept++] = lengths[i];
    }
    symbols->count = kept;
}

void rt_symbols_merge(rt_symbols *symbols, const rt_bpe_table *table) {
    if (symbols->count <= SCAN_MAX && table->header.unique) {
        merge_by_scan(symbols, table);
    } else {
        merge_by_queue(symbols, table);
    }
}
