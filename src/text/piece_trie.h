/* SPDX-License-Identifier: Apache-2.0
 * A double-array trie of pieces (Aoe, 1989), with exclusive or in place of addition (Yata's darts-clone): the child of a
 * node for a byte is unit[base ^ byte], if that unit says that it is of this byte. Bases are unique, so no unit has two
 * parents. Eight bytes a unit, one load a step. It is stored as it is used: every access is checked, so it works where it is mapped,
 * whatever somebody writes there. */
#ifndef RT_TEXT_PIECE_TRIE_H
#define RT_TEXT_PIECE_TRIE_H

#include "base/error.h"
#include "base/memory.h"

/* From the lowest bit: the byte, 1 if the unit is in use, the base of its children (23 bits; 0 where it has none, as
 * the first 256 units are empty); then the piece that ends here, or RT_TRIE_ID, and, of a piece, the mark RT_TRIE_WHOLE. */
typedef struct rt_piece_trie {
    const uint64_t *units; /* [count] */
    size_t count;
    uint32_t root; /* its base */
} rt_piece_trie;

enum { RT_TRIE_BASE_SHIFT = 9, RT_TRIE_USED = 0x100, RT_TRIE_MAX = 1 << 23 };
enum { RT_TRIE_WHOLE = 1 << 30, RT_TRIE_ID = RT_TRIE_WHOLE - 1 };

/* A place in the trie; begin with {trie->root, -1}. */
typedef struct rt_trie_place {
    uint32_t base;
    int32_t id; /* of the piece that ends here, or -1 */
} rt_trie_place;

/* Goes on by a byte. False: no piece does. */
static inline bool rt_trie_step(const rt_piece_trie *trie, rt_trie_place *place, uint8_t byte) {
    uint32_t at = place->base ^ byte;
    if (at >= trie->count) return false;
    uint64_t unit = trie->units[at];
    if (((uint32_t)unit & 0x1FF) != (RT_TRIE_USED | (uint32_t)byte)) return false;
    place->base = (uint32_t)unit >> RT_TRIE_BASE_SHIFT;
    uint32_t id = (uint32_t)(unit >> 32) & RT_TRIE_ID;
    place->id = id == RT_TRIE_ID ? -1 : (int32_t)id;
    return true;
}

/* Id of a piece, or -1. */
int32_t rt_trie_find(const rt_piece_trie *trie, const uint8_t *bytes, size_t length);

/* Marks a piece that is in the trie. */
void rt_trie_mark(uint64_t *units, uint32_t root, const uint8_t *bytes, size_t length);

/* Appends the units to `out`. Piece i is text[starts[i] … starts[i + 1] - 1), none empty pieces count; of equal ones the
 * last stays. RETORT_LIMIT when there are too many. */
retort_status rt_trie_build(rt_buffer *out, uint32_t *root, const char *text, const uint32_t *starts,
                            size_t count, retort_error *err);

#endif
