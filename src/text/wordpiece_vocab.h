/* SPDX-License-Identifier: Apache-2.0
 * The pieces of a vocabulary and the hash table that finds them. */
#ifndef RT_TEXT_WORDPIECE_VOCAB_H
#define RT_TEXT_WORDPIECE_VOCAB_H

#include "base/hash.h"
#include "text/component.h"

enum { RT_WORDPIECE_BEGINNINGS = 1024 };

typedef struct rt_wordpiece_vocab {
    char *text;       /* the pieces in the order of their ids, each ended by NUL; then RT_HASH_MARGIN */
    uint32_t *starts; /* [count + 1] where each begins in `text` */
    size_t count;
    uint32_t *slots; /* [mask + 1] */
    size_t mask;
    const char *prefix; /* of pieces that go on within a word */
    size_t prefix_length;
    rt_hash_state begin[2]; /* of a hash: of pieces that begin a word, that go on within one */
    uint32_t lengths[2][RT_WORDPIECE_BEGINNINGS]; /* see rt_wordpiece_lengths */
} rt_wordpiece_vocab;

/* From pieces ended by '\n'; an empty one is an id without a piece. `prefix` must outlive the vocabulary. */
retort_status rt_wordpiece_open(rt_wordpiece_vocab *vocab, const char *name, const void *pieces, size_t size,
                                const char *prefix, retort_error *err);
void rt_wordpiece_close(rt_wordpiece_vocab *vocab);

static inline size_t rt_wordpiece_beginning(const uint8_t *bytes, size_t length) {
    return (bytes[0] * 37u + (length > 1 ? bytes[1] * 4u : 0)) % RT_WORDPIECE_BEGINNINGS;
}
/* The bit of a length; the last one stands for all from 31 bytes on. */
static inline uint32_t rt_wordpiece_length_bit(size_t length) {
    return UINT32_C(1) << (length < 31 ? length : 31);
}
/* Lengths of the pieces that may begin as these `length` >= 1 bytes do, so that no other is looked for. */
static inline uint32_t rt_wordpiece_lengths(const rt_wordpiece_vocab *vocab, const uint8_t *bytes,
                                            size_t length, bool within) {
    uint32_t two = vocab->lengths[within][rt_wordpiece_beginning(bytes, length)];
    return two | rt_wordpiece_length_bit(1); /* a piece of one byte stands elsewhere */
}
static inline size_t rt_wordpiece_longest(uint32_t lengths) {
    size_t longest = 31 - (size_t)__builtin_clz(lengths);
    return longest < 31 ? longest : RT_PIECE_MAX;
}
/* Id of the piece with these bytes (and, within a word, the prefix before them), or -1. The hash goes on from
 * vocab->begin[within]. */
int32_t rt_wordpiece_find(const rt_wordpiece_vocab *vocab, const uint8_t *bytes, size_t length, bool within,
                          uint64_t hash);
/* Id of a whole piece, or -1. */
int32_t rt_wordpiece_id(const rt_wordpiece_vocab *vocab, const char *piece, size_t length);
static inline const char *rt_wordpiece_piece(const rt_wordpiece_vocab *vocab, size_t id) {
    return vocab->text + vocab->starts[id];
}
static inline size_t rt_wordpiece_length(const rt_wordpiece_vocab *vocab, size_t id) {
    return vocab->starts[id + 1] - vocab->starts[id] - 1;
}

#endif
