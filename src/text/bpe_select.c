/* SPDX-License-Identifier: Apache-2.0
 * Fewer pieces of BPE. A text is tokenized as before if all of its tokens stay and what each is merged from, in whatever
 * way: of the merges that are possible at each step, the one of the lowest rank is still there. */
#include "text/bpe_table.h"

#include <stdlib.h>
#include <string.h>

/* The merges that make each piece: those of piece i are list[first[i] … first[i + 1]). */
typedef struct merge_index {
    uint32_t *first; /* [count + 1] */
    const rt_merge **list;
} merge_index;

static bool is_used(const rt_merge *slot) {
    return slot->rank != RT_NO_RANK;
}

static void free_index(merge_index *index) {
    free(index->first);
    free(index->list);
}

static bool make_index(merge_index *index, const rt_bpe_table *table) {
    size_t slots = (size_t)table->header.merge_mask + 1, count = table->header.count, used = 0;
    for (size_t i = 0; i < slots; i++) used += is_used(&table->merges[i]);
    index->first = rt_calloc(count + 2, sizeof *index->first);
    index->list = rt_calloc(used, sizeof *index->list);
    if (index->first == NULL || index->list == NULL) return false;
    for (size_t i = 0; i < slots; i++) {
        if (is_used(&table->merges[i])) index->first[table->merges[i].id + 2]++;
    }
    for (size_t id = 0; id < count; id++) index->first[id + 2] += index->first[id + 1];
    for (size_t i = 0; i < slots; i++) {
        if (is_used(&table->merges[i]))
            index->list[index->first[table->merges[i].id + 1]++] = &table->merges[i];
    }
    return true;
}

static void mark(uint32_t id, uint8_t *stays, uint32_t *stack, size_t *depth) {
    if (!stays[id]) stack[(*depth)++] = id;
    stays[id] = true;
}

bool rt_bpe_complete(const rt_bpe_table *table, uint8_t *stays) {
    merge_index index = {0};
    size_t count = table->header.count, depth = 0;
    uint32_t *stack = rt_calloc(count, sizeof *stack);
    bool fine = stack != NULL && make_index(&index, table);
    for (size_t id = 0; fine && id < count; id++) {
        if (stays[id]) stack[depth++] = (uint32_t)id;
    }
    while (depth > 0) {
        uint32_t id = stack[--depth];
        for (uint32_t i = index.first[id]; i < index.first[id + 1]; i++) {
            mark(index.list[i]->left, stays, stack, &depth);
            mark(index.list[i]->right, stays, stack, &depth);
        }
    }
    free_index(&index);
    free(stack);
    return fine;
}

static int by_rank(const void *a, const void *b) {
    const rt_merge *x = a, *y = b;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* With their new ids and ranks. */
static size_t collect_merges(rt_merge *out, const rt_bpe_table *table, const rt_selection *selection) {
    size_t count = 0;
    for (size_t i = 0; i <= table->header.merge_mask; i++) {
        const rt_merge *merge = &table->merges[i];
        if (!is_used(merge)) continue;
        int32_t left = rt_selected(selection, merge->left), right = rt_selected(selection, merge->right),
                id = rt_selected(selection, merge->id);
        if (left < 0 || right < 0 || id < 0) continue;
        out[count++] = (rt_merge){(uint32_t)left, (uint32_t)right, merge->rank, (uint32_t)id};
    }
    qsort(out, count, sizeof *out, by_rank);
    for (size_t i = 0; i < count; i++) out[i].rank = (uint32_t)i;
    return count;
}

retort_status rt_bpe_select(rt_buffer *out, const char *name, const rt_bpe_table *table,
                            const rt_selection *selection, retort_error *err) {
    const char **pieces = rt_calloc(selection->count, sizeof *pieces);
    rt_merge *merges = rt_calloc((size_t)table->header.merge_mask + 1, sizeof *merges);
    retort_status status = RETORT_OK;
    if (pieces == NULL || merges == NULL) {
        status = rt_fail_nomem(err, selection->count * sizeof *pieces);
    } else {
        size_t length, count = collect_merges(merges, table, selection);
        for (size_t i = 0; i < selection->count; i++)
            pieces[i] = rt_bpe_piece(table, (size_t)selection->ids[i], &length);
        status = rt_bpe_table_build(out, name, pieces, selection->count, merges, count, err);
    }
    free(merges);
    free(pieces);
    return status;
}
