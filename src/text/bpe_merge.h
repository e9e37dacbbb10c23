/* SPDX-License-Identifier: Apache-2.0
 * Merging the symbols of a word: of all neighbours that can be merged, those of the lowest rank first, and of these
 * the leftmost, until none can be. */
#ifndef RT_TEXT_BPE_MERGE_H
#define RT_TEXT_BPE_MERGE_H

#include "text/bpe_table.h"

typedef struct rt_symbol {
    uint32_t id, length;    /* its piece; bytes of the word */
    uint32_t first, second; /* for the merging */
} rt_symbol;
/* What two neighbours merge to. */
typedef struct rt_symbol_pair {
    uint32_t rank, id; /* RT_NO_RANK: nothing */
} rt_symbol_pair;
typedef struct rt_symbols {
    rt_symbol *list; /* [capacity] */
    size_t count;
    bool paired; /* `first` and `second` of each are rank and id of what it and the next one merge to */
    struct rt_queued *queue; /* [3 * capacity] */
} rt_symbols;
/* Memory for a word of so many bytes; false when out of memory. */
bool rt_symbols_open(rt_symbols *symbols, rt_tokens *tokens, size_t capacity);
static inline void rt_symbols_add(rt_symbols *symbols, uint32_t id, size_t length) {
    symbols->list[symbols->count++] = (rt_symbol){.id = id, .length = (uint32_t)length};
}
void rt_symbols_merge(rt_symbols *symbols, const rt_bpe_table *table);

#endif
