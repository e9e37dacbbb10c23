/* SPDX-License-Identifier: Apache-2.0
 * The pieces and merges of a BPE model as two hash tables, in one block of bytes that is used where it lies: in the
 * mapped file. */
#ifndef RT_TEXT_BPE_TABLE_H
#define RT_TEXT_BPE_TABLE_H

#include "text/component.h"

/* What merging a pair of neighbours gives. Lower ranks are merged first. */
typedef struct rt_merge {
    uint32_t left, right; /* ids */
    uint32_t rank;        /* RT_NO_RANK: a free slot */
    uint32_t id;
} rt_merge;
enum { RT_BPE_MAX = 1 << 24 };  /* pieces, and merges */
enum { RT_BPE_ALIGNMENT = 16 }; /* of a block */
static const uint32_t RT_NO_RANK = UINT32_MAX;

typedef struct rt_bpe_header {
    char magic[8];
    uint32_t count, merges;              /* pieces, merges */
    uint32_t piece_mask, merge_mask;     /* slots of each table, less one */
    uint32_t piece_probes, merge_probes; /* slots that a search looks at, at most */
    uint32_t seed;                       /* of the hashes */
    uint32_t unique;                     /* 1: no two merges give the same piece */
    uint32_t text_size;
    uint32_t zero[5]; /* to 64 bytes */
} rt_bpe_header;

/* The parts of a block, in this order. */
typedef struct rt_bpe_table {
    rt_bpe_header header;
    uint64_t salt;          /* of the hashes */
    const rt_merge *merges; /* [merge_mask + 1] */
    const uint32_t *pieces; /* [piece_mask + 1] id + 1; 0: a free slot */
    const uint32_t *starts; /* [count + 1] where each piece begins in `text` */
    const uint8_t *whole;   /* [count] 1: merging the characters of the piece gives the piece */
    const char *text;       /* [text_size] pieces, each ended by NUL; then RT_HASH_MARGIN */
} rt_bpe_table;

/* Builds a block, without `whole`. pairs[i]: the merge of rank i, with its id. A piece is in use when pieces[id] is not
 * NULL, as all are. */
retort_status rt_bpe_table_build(rt_buffer *out, const char *name, const char *const *pieces, size_t count,
                                 const rt_merge *pairs, size_t merges, retort_error *err);
/* Finds the parts of a block, and checks that no search can leave them. `block` must outlive the table. */
retort_status rt_bpe_table_open(rt_bpe_table *table, const char *name, const void *block, size_t size,
                                retort_error *err);

/* Marks the pieces that those which stay are merged from. False when out of memory. */
bool rt_bpe_complete(const rt_bpe_table *table, uint8_t *stays);
/* A block, without `whole`, of the pieces that stay and the merges among them. */
retort_status rt_bpe_select(rt_buffer *out, const char *name, const rt_bpe_table *table,
                            const rt_selection *selection, retort_error *err);

/* Id of a piece, or -1. */
int32_t rt_bpe_find(const rt_bpe_table *table, const char *piece, size_t length);
static inline const char *rt_bpe_piece(const rt_bpe_table *table, size_t id, size_t *length) {
    *length = table->starts[id + 1] - table->starts[id] - 1;
    return table->text + table->starts[id];
}

static inline uint64_t rt_bpe_mix(uint64_t word) {
    word *= UINT64_C(0xD6E8FEB86659FD93);
    return word ^ word >> 32;
}
static inline uint64_t rt_bpe_salt(const rt_bpe_header *header) {
    return header->seed * UINT64_C(0x9E3779B97F4A7C15);
}
static inline size_t rt_bpe_merge_slot(uint64_t salt, uint32_t mask, uint32_t left, uint32_t right) {
    return rt_bpe_mix(((uint64_t)left << 32 | right) ^ salt) & mask;
}
/* The merge of two neighbours, or NULL. */
static inline const rt_merge *rt_bpe_merge(const rt_bpe_table *table, uint32_t left, uint32_t right) {
    uint32_t mask = table->header.merge_mask;
    size_t at = rt_bpe_merge_slot(table->salt, mask, left, right);
    for (uint32_t i = table->header.merge_probes; i > 0; i--, at = (at + 1) & mask) {
        const rt_merge *merge = &table->merges[at];
        if (merge->rank == RT_NO_RANK) break;
        if (merge->left == left && merge->right == right) return merge;
    }
    return NULL;
}

#endif
