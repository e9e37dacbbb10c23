/* SPDX-License-Identifier: Apache-2.0 */
#include "text/vocab.h"

#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* BERT's largest vocabularies have some 250,000 pieces. */
enum { MAX_PIECES = 1 << 24, MAX_BYTES = 1 << 30 };

/* Open addressing, at most two thirds full. `tag` is the part of the hash that does not choose the slot. */
struct rt_vocab_slot {
    uint32_t tag;
    uint32_t entry; /* 0: free; else (id + 1) * 2 + whether it is the end of a piece, after its prefix */
};

static uint64_t scatter(uint64_t hash) {
    hash = (hash ^ hash >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return hash ^ hash >> 32;
}

static bool slot_is(const rt_vocab *vocab, const struct rt_vocab_slot *slot, const uint8_t *bytes,
                    size_t length, bool within, uint32_t tag) {
    if (slot->tag != tag || (slot->entry & 1) != within) return false;
    size_t id = (slot->entry >> 1) - 1, skip = within ? vocab->prefix_length : 0;
    return rt_vocab_length(vocab, id) == skip + length &&
           memcmp(rt_vocab_piece(vocab, id) + skip, bytes, length) == 0;
}

/* The slot of these bytes, or the free one where they belong. */
static struct rt_vocab_slot *find_slot(const rt_vocab *vocab, const uint8_t *bytes, size_t length,
                                       bool within, uint64_t hash) {
    hash = scatter(hash);
    uint32_t tag = (uint32_t)(hash >> 32);
    size_t at = hash & vocab->mask;
    while (vocab->slots[at].entry != 0 && !slot_is(vocab, &vocab->slots[at], bytes, length, within, tag)) {
        at = (at + 1) & vocab->mask;
    }
    return &vocab->slots[at];
}

int32_t rt_vocab_find(const rt_vocab *vocab, const uint8_t *bytes, size_t length, bool within,
                      uint64_t hash) {
    return (int32_t)(find_slot(vocab, bytes, length, within, hash)->entry >> 1) - 1;
}

static uint64_t hash_bytes(const uint8_t *bytes, size_t length, bool within) {
    uint64_t hash = rt_vocab_hash(within);
    for (size_t i = 0; i < length; i++) hash = rt_vocab_hash_byte(hash, bytes[i]);
    return hash;
}

int32_t rt_vocab_id(const rt_vocab *vocab, const char *piece, size_t length) {
    const uint8_t *bytes = (const uint8_t *)piece;
    return rt_vocab_find(vocab, bytes, length, false, hash_bytes(bytes, length, false));
}

/* False when the bytes are there already; *other is then their id. */
static bool insert(rt_vocab *vocab, size_t id, bool within, int32_t *other) {
    size_t skip = within ? vocab->prefix_length : 0;
    const uint8_t *bytes = (const uint8_t *)rt_vocab_piece(vocab, id) + skip;
    size_t length = rt_vocab_length(vocab, id) - skip;
    uint64_t hash = hash_bytes(bytes, length, within);
    struct rt_vocab_slot *slot = find_slot(vocab, bytes, length, within, hash);
    *other = (int32_t)(slot->entry >> 1) - 1;
    if (slot->entry != 0) return false;
    uint16_t *reach = &vocab->reach[within][rt_vocab_reach_index(bytes, length)];
    if (length > *reach) *reach = (uint16_t)length;
    slot->tag = (uint32_t)(scatter(hash) >> 32);
    slot->entry = (uint32_t)(id + 1) << 1 | within;
    return true;
}

static bool begins_with_prefix(const rt_vocab *vocab, size_t id) {
    return rt_vocab_length(vocab, id) > vocab->prefix_length &&
           memcmp(rt_vocab_piece(vocab, id), vocab->prefix, vocab->prefix_length) == 0;
}

static retort_status index_piece(rt_vocab *vocab, const char *name, size_t id, retort_error *err) {
    const char *piece = rt_vocab_piece(vocab, id);
    size_t length = rt_vocab_length(vocab, id), bad;
    int32_t other;
    if (length == 0) return RETORT_OK;
    if (length > RT_PIECE_MAX) {
        return rt_fail(err, RETORT_LIMIT, "%s: piece %zu has %zu bytes, at most %d are supported", name, id,
                       length, RT_PIECE_MAX);
    }
    if (!rt_utf8_valid((const uint8_t *)piece, length, &bad) || memchr(piece, '\0', length) != NULL) {
        return rt_fail(err, RETORT_FORMAT, "%s: piece %zu is not valid UTF-8 text", name, id);
    }
    if (!insert(vocab, id, false, &other)) {
        return rt_fail(err, RETORT_FORMAT, "%s: pieces %d and %zu are both \"%.64s\"", name, other, id,
                       piece);
    }
    if (begins_with_prefix(vocab, id)) insert(vocab, id, true, &other);
    return RETORT_OK;
}

/* Fills text and starts; returns the number of pieces. */
static size_t split_pieces(rt_vocab *vocab, const char *pieces, size_t size) {
    size_t count = 0, at = 0;
    while (at < size) {
        const char *end = memchr(pieces + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - (pieces + at)) : size - at;
        memcpy(vocab->text + at, pieces + at, length);
        vocab->text[at + length] = '\0';
        vocab->starts[count++] = (uint32_t)at;
        at += length + 1;
    }
    vocab->starts[count] = (uint32_t)at;
    return count;
}

static size_t count_lines(const char *pieces, size_t size) {
    size_t count = pieces[size - 1] != '\n';
    for (size_t i = 0; i < size; i++) count += pieces[i] == '\n';
    return count;
}

/* Slots for every piece and, once more, for those that begin with the prefix. */
static bool allocate_slots(rt_vocab *vocab) {
    size_t entries = vocab->count, slots = 16;
    for (size_t id = 0; id < vocab->count; id++) entries += begins_with_prefix(vocab, id);
    while (slots < entries + entries / 2) slots *= 2;
    vocab->slots = rt_calloc(slots, sizeof *vocab->slots);
    vocab->mask = slots - 1;
    return vocab->slots != NULL;
}

static retort_status index_pieces(rt_vocab *vocab, const char *name, const void *pieces, size_t size,
                                  size_t count, retort_error *err) {
    vocab->text = malloc(size + 1);
    vocab->starts = rt_calloc(count + 1, sizeof *vocab->starts);
    if (vocab->text == NULL || vocab->starts == NULL) return rt_fail_nomem(err, size + 4 * count);
    vocab->count = split_pieces(vocab, pieces, size);
    if (!allocate_slots(vocab)) return rt_fail_nomem(err, count * sizeof *vocab->slots);
    retort_status status = RETORT_OK;
    for (size_t id = 0; id < count && status == RETORT_OK; id++) status = index_piece(vocab, name, id, err);
    return status;
}

retort_status rt_vocab_open(rt_vocab *vocab, const char *name, const void *pieces, size_t size,
                            const char *prefix, retort_error *err) {
    size_t count = size > 0 ? count_lines(pieces, size) : 0;
    *vocab = (rt_vocab){.prefix = prefix, .prefix_length = strlen(prefix)};
    if (count == 0) return rt_fail(err, RETORT_FORMAT, "%s: the vocabulary is empty", name);
    if (count > MAX_PIECES || size > MAX_BYTES) {
        return rt_fail(err, RETORT_LIMIT, "%s: %zu pieces in %zu bytes, at most %d in %d are supported", name,
                       count, size, MAX_PIECES, MAX_BYTES);
    }
    retort_status status = index_pieces(vocab, name, pieces, size, count, err);
    if (status != RETORT_OK) rt_vocab_close(vocab);
    return status;
}

void rt_vocab_close(rt_vocab *vocab) {
    free(vocab->text);
    free(vocab->starts);
    free(vocab->slots);
    *vocab = (rt_vocab){0};
}
