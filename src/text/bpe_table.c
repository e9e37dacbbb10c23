/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bpe_table.h"

#include "base/hash.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Searches are bounded: the longest run of slots in a table that is at most half full has some 64 for 250,000 entries.
 * A file that aims at one slot gets another seed, and is refused if that does not help. */
enum { MAX_PROBES = 256, SEEDS = 8, MAX_BYTES = 1 << 30 };
static const char MAGIC[8] = "retbpe1";

static uint64_t load(const uint8_t *bytes, size_t length) {
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    return word;
}

/* By loads of constant size, of which the last may overlap the one before it. */
static inline size_t piece_slot(uint64_t salt, uint32_t mask, const void *piece, size_t length) {
    const uint8_t *bytes = piece;
    uint64_t hash = length ^ salt;
    if (length >= 8) {
        for (size_t at = 0; at + 8 < length; at += 8) hash = rt_bpe_mix(hash ^ load(bytes + at, 8));
        hash ^= load(bytes + length - 8, 8);
    } else if (length >= 4) {
        hash ^= load(bytes, 4) << 32 | load(bytes + length - 4, 4);
    } else if (length > 0) {
        hash ^=
            (uint64_t)bytes[0] << 32 | (uint64_t)bytes[length / 2] << 24 | (uint64_t)bytes[length - 1] << 16;
    }
    return rt_bpe_mix(hash) & mask;
}

/* By the same loads. */
static inline bool is_same(const void *a, const void *b, size_t length) {
    const uint8_t *x = a, *y = b;
    if (length >= 8) {
        for (size_t at = 0; at + 8 < length; at += 8) {
            if (load(x + at, 8) != load(y + at, 8)) return false;
        }
        return load(x + length - 8, 8) == load(y + length - 8, 8);
    }
    if (length >= 4) return load(x, 4) == load(y, 4) && load(x + length - 4, 4) == load(y + length - 4, 4);
    return length == 0 || (x[0] == y[0] && x[length / 2] == y[length / 2] && x[length - 1] == y[length - 1]);
}

int32_t rt_bpe_find(const rt_bpe_table *table, const char *piece, size_t length) {
    uint32_t mask = table->header.piece_mask;
    size_t at = piece_slot(table->salt, mask, piece, length);
    for (uint32_t i = table->header.piece_probes; i > 0; i--, at = (at + 1) & mask) {
        uint32_t id = table->pieces[at] - 1;
        size_t size;
        if (table->pieces[at] == 0) return -1;
        const char *found = rt_bpe_piece(table, id, &size);
        if (size == length && is_same(found, piece, length)) return (int32_t)id;
    }
    return -1;
}

/* ---- Building ----------------------------------------------------------------------------------------- */

/* Where the parts of a block are, in bytes from its begin. */
typedef struct block_layout {
    size_t merges, pieces, starts, whole, text, size;
} block_layout;

static block_layout layout_of(const rt_bpe_header *header) {
    block_layout at = {.merges = sizeof *header};
    at.pieces = at.merges + ((size_t)header->merge_mask + 1) * sizeof(rt_merge);
    at.starts = at.pieces + ((size_t)header->piece_mask + 1) * sizeof(uint32_t);
    at.whole = at.starts + ((size_t)header->count + 1) * sizeof(uint32_t);
    at.text = at.whole + header->count;
    at.size = at.text + header->text_size + RT_HASH_MARGIN;
    return at;
}

static uint32_t mask_for(size_t entries) {
    size_t slots = 16;
    while (slots < 2 * entries) slots *= 2;
    return (uint32_t)(slots - 1);
}

/* False when a search would take too long. */
static bool place_pieces(rt_bpe_header *header, uint32_t *slots, const char *const *pieces) {
    header->piece_probes = 1;
    for (uint32_t id = 0; id < header->count; id++) {
        size_t at = piece_slot(rt_bpe_salt(header), header->piece_mask, pieces[id], strlen(pieces[id]));
        uint32_t probes = 1;
        for (; slots[at] != 0; probes++) at = (at + 1) & header->piece_mask;
        slots[at] = id + 1;
        header->piece_probes = (uint32_t)rt_max(header->piece_probes, probes);
        if (probes > MAX_PROBES) return false;
    }
    return true;
}

/* False when a search would take too long. *twice: a merge that another one is already, or NULL. */
static bool place_merges(rt_bpe_header *header, rt_merge *slots, const rt_merge *pairs,
                         const rt_merge **twice) {
    header->merge_probes = 1;
    for (size_t i = 0; i <= header->merge_mask; i++) slots[i].rank = RT_NO_RANK;
    for (uint32_t i = 0; i < header->merges; i++) {
        size_t at = rt_bpe_merge_slot(rt_bpe_salt(header), header->merge_mask, pairs[i].left, pairs[i].right);
        uint32_t probes = 1;
        for (; slots[at].rank != RT_NO_RANK; probes++) {
            if (slots[at].left == pairs[i].left && slots[at].right == pairs[i].right) *twice = &pairs[i];
            at = (at + 1) & header->merge_mask;
        }
        slots[at] = pairs[i];
        header->merge_probes = (uint32_t)rt_max(header->merge_probes, probes);
        if (probes > MAX_PROBES || *twice != NULL) return false;
    }
    return true;
}

static retort_status fill_block(uint8_t *block, rt_bpe_header *header, const char *name,
                                const char *const *pieces, const rt_merge *pairs, retort_error *err) {
    const block_layout at = layout_of(header);
    const rt_merge *twice = NULL;
    uint32_t *starts = (uint32_t *)(void *)(block + at.starts), end = 0;
    bool placed = false;
    for (header->seed = 0; header->seed < SEEDS && !placed && twice == NULL; header->seed++) {
        memset(block + at.merges, 0, at.starts - at.merges);
        placed = place_pieces(header, (uint32_t *)(void *)(block + at.pieces), pieces) &&
                 place_merges(header, (rt_merge *)(void *)(block + at.merges), pairs, &twice);
        if (placed) break;
    }
    if (twice != NULL) {
        return rt_fail(err, RETORT_FORMAT, "%s: merges: \"%.64s\" and \"%.64s\" are merged twice", name,
                       pieces[twice->left], pieces[twice->right]);
    }
    if (!placed) return rt_fail(err, RETORT_LIMIT, "%s: pieces or merges all collide in a hash table", name);
    for (size_t id = 0; id < header->count; id++) {
        size_t length = strlen(pieces[id]) + 1;
        starts[id] = end;
        memcpy(block + at.text + end, pieces[id], length);
        end += (uint32_t)length;
    }
    starts[header->count] = end;
    memcpy(block, header, sizeof *header);
    return RETORT_OK;
}

/* Whether each result is of one merge. */
static bool are_unique(const rt_merge *pairs, size_t merges, uint8_t *seen) {
    bool unique = true;
    for (size_t i = 0; i < merges; i++) unique = unique && !seen[pairs[i].id]++;
    return unique;
}

retort_status rt_bpe_table_build(rt_buffer *out, const char *name, const char *const *pieces, size_t count,
                                 const rt_merge *pairs, size_t merges, retort_error *err) {
    size_t bytes = 0;
    for (size_t id = 0; id < count; id++) {
        size_t length = strlen(pieces[id]);
        if (length == 0 || length > RT_PIECE_MAX) {
            return rt_fail(err, RETORT_LIMIT, "%s: piece %zu has %zu bytes, 1 to %d are supported", name, id,
                           length, RT_PIECE_MAX);
        }
        bytes += length + 1;
    }
    if (count > RT_BPE_MAX || merges > RT_BPE_MAX || bytes > MAX_BYTES) {
        return rt_fail(err, RETORT_LIMIT,
                       "%s: %zu pieces of %zu bytes and %zu merges, at most %d of %d and %d are supported",
                       name, count, bytes, merges, RT_BPE_MAX, MAX_BYTES, RT_BPE_MAX);
    }
    rt_bpe_header header = {.count = (uint32_t)count,
                            .merges = (uint32_t)merges,
                            .piece_mask = mask_for(count),
                            .merge_mask = mask_for(merges),
                            .text_size = (uint32_t)bytes};
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    const block_layout at = layout_of(&header);
    uint8_t *block = rt_calloc(at.size, 1);
    if (block == NULL) return rt_fail_nomem(err, at.size);
    header.unique = are_unique(pairs, merges, block + at.whole);
    memset(block + at.whole, 0, count);
    retort_status status = fill_block(block, &header, name, pieces, pairs, err);
    if (status != RETORT_OK) {
        free(block);
        return status;
    }
    *out = (rt_buffer){.data = (char *)block, .length = at.size, .capacity = at.size};
    return RETORT_OK;
}

/* ---- Opening ------------------------------------------------------------------------------------------ */

/* Every number that is used as an index is one; pieces are texts. */
static bool is_sound(const rt_bpe_table *table) {
    const rt_bpe_header *header = &table->header;
    size_t bad;
    bool sound = table->starts[0] == 0 && table->starts[header->count] == header->text_size;
    for (size_t i = 0; i < header->count; i++)
        sound &= table->starts[i] + 1 < table->starts[i + 1] &&
                 table->starts[i + 1] - table->starts[i] <= RT_PIECE_MAX + 1;
    for (size_t i = 0; sound && i < header->count; i++) sound = table->text[table->starts[i + 1] - 1] == '\0';
    for (size_t i = 0; i <= header->piece_mask; i++) sound &= table->pieces[i] <= header->count;
    for (size_t i = 0; i <= header->merge_mask; i++) {
        const rt_merge *merge = &table->merges[i];
        sound &= merge->rank == RT_NO_RANK ||
                 (merge->left < header->count && merge->right < header->count && merge->id < header->count);
    }
    return sound && rt_utf8_valid((const uint8_t *)table->text, header->text_size, &bad);
}

static bool is_header(const rt_bpe_header *header, size_t size) {
    return memcmp(header->magic, MAGIC, sizeof MAGIC) == 0 && header->count > 0 &&
           header->count <= RT_BPE_MAX && header->piece_mask < 4 * RT_BPE_MAX &&
           (header->piece_mask & (header->piece_mask + 1)) == 0 && header->merge_mask < 4 * RT_BPE_MAX &&
           (header->merge_mask & (header->merge_mask + 1)) == 0 && header->piece_probes <= MAX_PROBES &&
           header->merge_probes <= MAX_PROBES && header->text_size <= MAX_BYTES &&
           layout_of(header).size == size;
}

retort_status rt_bpe_table_open(rt_bpe_table *table, const char *name, const void *block, size_t size,
                                retort_error *err) {
    const uint8_t *bytes = block;
    if (size >= sizeof table->header) memcpy(&table->header, bytes, sizeof table->header);
    if (size < sizeof table->header || (uintptr_t)block % RT_BPE_ALIGNMENT != 0 ||
        !is_header(&table->header, size))
        return rt_fail(err, RETORT_FORMAT, "%s: the table of BPE, of %zu bytes, is damaged", name, size);
    const block_layout at = layout_of(&table->header);
    table->salt = rt_bpe_salt(&table->header);
    table->merges = (const rt_merge *)(const void *)(bytes + at.merges);
    table->pieces = (const uint32_t *)(const void *)(bytes + at.pieces);
    table->starts = (const uint32_t *)(const void *)(bytes + at.starts);
    table->whole = bytes + at.whole;
    table->text = (const char *)bytes + at.text;
    if (is_sound(table)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: the table of BPE has a number that is out of its range", name);
}
