/* SPDX-License-Identifier: Apache-2.0
 * Two ways. Up to SCAN_MAX symbols, the ranks of all neighbours are searched for the lowest after each merge: few
 * numbers in a row, no heap. Longer words, which may be an attack, take a heap: n log n.
 *
 * The library has the heap for all. It leaves entries there when a symbol changes, and recognises the stale ones by
 * the piece they would make. That is the plain rule unless two merges make the same piece: then a stale entry may be
 * taken for a pair of higher rank. So words of such a model always take the heap. */
#include "text/bpe_merge.h"

enum { SCAN_MAX = 48 };

typedef struct rt_queued {
    uint64_t order; /* rank, then position: from the left */
    uint32_t id;
} rt_queued;

bool rt_symbols_open(rt_symbols *symbols, rt_tokens *tokens, size_t capacity) {
    size_t bytes;
    const size_t each = sizeof(rt_symbol) + 3 * sizeof(rt_queued);
    if (!rt_mul(capacity, each, &bytes) || !rt_grow(&tokens->work, &tokens->work_capacity, bytes, 1))
        return false;
    symbols->list = tokens->work;
    symbols->count = 0;
    symbols->paired = false;
    symbols->queue = (rt_queued *)(void *)(symbols->list + capacity);
    return true;
}

/* ---- Few symbols -------------------------------------------------------------------------------------- */

/* `first` is the rank of a symbol and the next one, `second` what they become. */
static inline void look_up(rt_symbol *symbol, const rt_bpe_table *table) {
    const rt_merge *merge = rt_bpe_merge(table, symbol[0].id, symbol[1].id);
    symbol->first = merge != NULL ? merge->rank : RT_NO_RANK;
    symbol->second = merge != NULL ? merge->id : 0;
}

static void merge_by_scan(rt_symbols *symbols, const rt_bpe_table *table) {
    rt_symbol *list = symbols->list;
    size_t last = symbols->count - 1; /* it has no next one */
    for (size_t i = 0; i < last && !symbols->paired; i++) look_up(&list[i], table);
    while (last > 0) {
        size_t best = 0;
        uint32_t lowest = list[0].first; /* in a register: no comparison waits for a load */
        for (size_t i = 1; i < last; i++) {
            best = list[i].first < lowest ? i : best;
            lowest = list[i].first < lowest ? list[i].first : lowest;
        }
        if (lowest == RT_NO_RANK) break;
        list[best].id = list[best].second;
        list[best].length += list[best + 1].length;
        for (size_t i = best + 1; i < last; i++) list[i] = list[i + 1];
        last--;
        if (best < last) look_up(&list[best], table);
        if (best > 0) look_up(&list[best - 1], table);
    }
    symbols->count = last + 1;
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
    const rt_merge *merge = rt_bpe_merge(table, symbols->list[left].id, symbols->list[right].id);
    if (merge == NULL) return;
    push_queue(symbols->queue, queued, (rt_queued){(uint64_t)merge->rank << 32 | left, merge->id});
}

/* `first` is the symbol before each, `second` the one behind it; a symbol that is gone has no length. */
static void merge_by_queue(rt_symbols *symbols, const rt_bpe_table *table) {
    rt_symbol *list = symbols->list;
    uint32_t count = (uint32_t)symbols->count;
    size_t queued = 0, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        list[i].first = i > 0 ? i - 1 : NONE;
        list[i].second = i + 1 < count ? i + 1 : NONE;
        if (i + 1 < count) queue_pair(symbols, table, &queued, i, i + 1);
    }
    while (queued > 0) {
        rt_queued top = pop_queue(symbols->queue, &queued);
        uint32_t at = (uint32_t)top.order, next = list[at].second;
        if (list[at].length == 0 || next == NONE) continue;
        const rt_merge *merge = rt_bpe_merge(table, list[at].id, list[next].id);
        if (merge == NULL || merge->id != top.id) continue; /* stale */
        list[at].id = top.id;
        list[at].length += list[next].length;
        list[next].length = 0;
        uint32_t before = list[at].first, behind = list[next].second;
        list[at].second = behind;
        if (behind != NONE) list[behind].first = at;
        if (before != NONE) queue_pair(symbols, table, &queued, before, at);
        if (behind != NONE) queue_pair(symbols, table, &queued, at, behind);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].length > 0) list[kept++] = list[i];
    }
    symbols->count = kept;
}

void rt_symbols_merge(rt_symbols *symbols, const rt_bpe_table *table) {
    if (symbols->count == 0) return;
    if (symbols->count <= SCAN_MAX && table->header.unique) {
        merge_by_scan(symbols, table);
    } else {
        merge_by_queue(symbols, table);
    }
}
