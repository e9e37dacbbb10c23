/* SPDX-License-Identifier: Apache-2.0
 * Merging the symbols of a word: of all neighbours that can be merged, those of the lowest rank first, and of these
 * the leftmost, until none can be. */
#ifndef RT_TEXT_BPE_MERGE_H
#define RT_TEXT_BPE_MERGE_H

#include "text/bpe_table.h"

/* Memory for the symbols of a word of so many bytes; false when out of memory. */
typedef struct rt_symbols {
    uint32_t *ids, *lengths; /* [count] pieces, and of how many bytes of the word */
    size_t count;
    uint32_t *first, *second; /* [capacity] scratch */
    struct rt_queued *queue;  /* [3 * capacity] */
} rt_symbols;
bool rt_symbols_open(rt_symbols *symbols, rt_tokens *tokens, size_t capacity);
static inline void rt_symbols_add(rt_symbols *symbols, uint32_t id, size_t length) {
    symbols->ids[symbols->count] = id;
    symbols->lengths[symbols->count++] = (uint32_t)length;
}
void rt_symbols_merge(rt_symbols *symbols, const rt_bpe_table *table);

#endif
