/* SPDX-License-Identifier: Apache-2.0 */
#include "text/wordpiece_vocab.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* BERT's largest vocabularies have some 250,000 pieces. */
enum { MAX_PIECES = 1 << 24, MAX_BYTES = 1 << 30 };

/* Open addressing, at most two thirds full. A slot is 0 (free), or from the top a tag of 6 bits of the hash,
 * id + 1 in 25 bits, and whether it is the end of a piece, after its prefix. */
enum { TAG_SHIFT = 26 };

static uint32_t tag_of(uint64_t hash, bool within) {
    return (uint32_t)(hash >> (32 + TAG_SHIFT)) << TAG_SHIFT | within;
}

static int32_t id_of(uint32_t slot) {
    return (int32_t)(slot << (32 - TAG_SHIFT) >> (33 - TAG_SHIFT)) - 1;
}

static bool slot_is(const rt_wordpiece_vocab *vocab, uint32_t slot, const uint8_t *bytes, size_t length,
                    uint32_t tag) {
    if ((slot ^ tag) >> TAG_SHIFT != 0 || ((slot ^ tag) & 1) != 0) return false;
    size_t id = (size_t)id_of(slot), skip = slot & 1 ? vocab->prefix_length : 0;
    return rt_wordpiece_length(vocab, id) == skip + length &&
           memcmp(rt_wordpiece_piece(vocab, id) + skip, bytes, length) == 0;
}

/* The slot of these bytes, or the free one where they belong. */
static inline uint32_t *find_slot(const rt_wordpiece_vocab *vocab, const uint8_t *bytes, size_t length,
                                  uint64_t hash, uint32_t tag) {
    size_t at = hash & vocab->mask;
    while (vocab->slots[at] != 0 && !slot_is(vocab, vocab->slots[at], bytes, length, tag)) {
        at = (at + 1) & vocab->mask;
    }
    return &vocab->slots[at];
}

int32_t rt_wordpiece_find(const rt_wordpiece_vocab *vocab, const uint8_t *bytes, size_t length, bool within,
                          uint64_t hash) {
    return id_of(*find_slot(vocab, bytes, length, hash, tag_of(hash, within)));
}

int32_t rt_wordpiece_id(const rt_wordpiece_vocab *vocab, const char *piece, size_t length) {
    const uint8_t *bytes = (const uint8_t *)piece;
    return rt_wordpiece_find(vocab, bytes, length, false, rt_hash_from(vocab->begin[0], bytes, length));
}

/* False when the bytes are there already; *other is then their id. */
static inline bool insert(rt_wordpiece_vocab *vocab, size_t id, bool within, int32_t *other) {
    size_t skip = within ? vocab->prefix_length : 0;
    const uint8_t *bytes = (const uint8_t *)rt_wordpiece_piece(vocab, id) + skip;
    size_t length = rt_wordpiece_length(vocab, id) - skip;
    rt_hash_state state = vocab->begin[within];
    const uint8_t *rest = bytes;
    for (size_t left = length; left >= 8; left -= 8, rest += 8) rt_hash_block(&state, rest);
    uint64_t hash = rt_hash_end_wide(state, rest, length);
    uint32_t tag = tag_of(hash, within), *slot = find_slot(vocab, bytes, length, hash, tag);
    *other = id_of(*slot);
    if (*slot != 0) return false;
    vocab->lengths[within][rt_wordpiece_beginning(bytes, length)] |= rt_wordpiece_length_bit(length);
    *slot = tag | (uint32_t)(id + 1) << 1;
    return true;
}

static inline bool begins_with_prefix(const rt_wordpiece_vocab *vocab, size_t id) {
    const char *piece = rt_wordpiece_piece(vocab, id);
    bool may = vocab->prefix_length == 0 || *piece == *vocab->prefix; /* most do not: no call for them */
    return may && rt_wordpiece_length(vocab, id) > vocab->prefix_length &&
           memcmp(piece, vocab->prefix, vocab->prefix_length) == 0;
}

static retort_status index_piece(rt_wordpiece_vocab *vocab, const char *name, size_t id, retort_error *err) {
    const char *piece = rt_wordpiece_piece(vocab, id);
    size_t length = rt_wordpiece_length(vocab, id);
    int32_t other;
    if (length == 0) return RETORT_OK;
    if (length > RT_PIECE_MAX) {
        return rt_fail(err, RETORT_LIMIT, "%s: piece %zu has %zu bytes, at most %d are supported", name, id,
                       length, RT_PIECE_MAX);
    }
    if (!insert(vocab, id, false, &other)) {
        return rt_fail(err, RETORT_FORMAT, "%s: pieces %d and %zu are both \"%.64s\"", name, other, id,
                       piece);
    }
    if (begins_with_prefix(vocab, id)) insert(vocab, id, true, &other);
    return RETORT_OK;
}

/* Ends the pieces of the text and fills starts; returns how many there are. */
static size_t split_pieces(rt_wordpiece_vocab *vocab, size_t size) {
    size_t count = 0, at = 0;
    while (at < size) {
        char *end = memchr(vocab->text + at, '\n', size - at);
        if (end == NULL) end = vocab->text + size;
        *end = '\0';
        vocab->starts[count++] = (uint32_t)at;
        at = (size_t)(end - vocab->text) + 1;
    }
    vocab->starts[count] = (uint32_t)at;
    return count;
}

static size_t count_ends(const char *pieces, size_t size) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += pieces[i] == '\n';
    return count;
}

/* All pieces at once: no character goes on beyond a '\n'. */
static retort_status check_text(const char *name, const char *pieces, size_t size, retort_error *err) {
    size_t bad = size;
    if (rt_utf8_valid((const uint8_t *)pieces, size, &bad)) {
        const char *zero = memchr(pieces, '\0', size);
        if (zero == NULL) return RETORT_OK;
        bad = (size_t)(zero - pieces);
    }
    return rt_fail(err, RETORT_FORMAT, "%s: piece %zu is not valid UTF-8 text", name,
                   count_ends(pieces, bad));
}

/* Slots for every piece and, once more, for those that begin with the prefix. */
static bool allocate_slots(rt_wordpiece_vocab *vocab) {
    size_t entries = vocab->count, slots = 16;
    for (size_t id = 0; id < vocab->count; id++) entries += begins_with_prefix(vocab, id);
    while (slots < entries + entries / 2) slots *= 2;
    vocab->slots = rt_calloc(slots, sizeof *vocab->slots);
    vocab->mask = slots - 1;
    return vocab->slots != NULL;
}

static retort_status index_pieces(rt_wordpiece_vocab *vocab, const char *name, size_t size, size_t count,
                                  retort_error *err) {
    vocab->starts = rt_calloc(count + 1, sizeof *vocab->starts);
    if (vocab->starts == NULL) return rt_fail_nomem(err, 4 * count);
    vocab->count = split_pieces(vocab, size);
    if (!allocate_slots(vocab)) return rt_fail_nomem(err, count * sizeof *vocab->slots);
    retort_status status = RETORT_OK;
    for (size_t id = 0; id < count && status == RETORT_OK; id++) status = index_piece(vocab, name, id, err);
    return status;
}

static retort_status too_large(const char *name, size_t count, size_t size, retort_error *err) {
    return rt_fail(err, RETORT_LIMIT, "%s: %zu pieces in %zu bytes, at most %d in %d are supported", name,
                   count, size, MAX_PIECES, MAX_BYTES);
}

/* Counts, checks and splits the text. */
static retort_status read_text(rt_wordpiece_vocab *vocab, const char *name, size_t size, retort_error *err) {
    size_t count = count_ends(vocab->text, size);
    if (size > 0 && vocab->text[size - 1] != '\n') count++;
    if (count == 0) return rt_fail(err, RETORT_FORMAT, "%s: the vocabulary is empty", name);
    if (count > MAX_PIECES) return too_large(name, count, size, err);
    retort_status status = check_text(name, vocab->text, size, err);
    return status == RETORT_OK ? index_pieces(vocab, name, size, count, err) : status;
}

retort_status rt_wordpiece_open(rt_wordpiece_vocab *vocab, const char *name, const void *pieces, size_t size,
                                const char *prefix, retort_error *err) {
    *vocab = (rt_wordpiece_vocab){.prefix = prefix, .prefix_length = strlen(prefix)};
    for (int within = 0; within < 2; within++) vocab->begin[within] = rt_hash_begin(rt_hash_key_new());
    if (size > MAX_BYTES) return too_large(name, count_ends(pieces, size), size, err);
    vocab->text = malloc(size + 1 + RT_HASH_MARGIN);
    if (vocab->text == NULL) return rt_fail_nomem(err, size);
    /* Copied first: a mapped file may be written over between two looks at it. */
    if (size > 0) memcpy(vocab->text, pieces, size);
    retort_status status = read_text(vocab, name, size, err);
    if (status != RETORT_OK) rt_wordpiece_close(vocab);
    return status;
}

void rt_wordpiece_close(rt_wordpiece_vocab *vocab) {
    free(vocab->text);
    free(vocab->starts);
    free(vocab->slots);
    *vocab = (rt_wordpiece_vocab){0};
}
