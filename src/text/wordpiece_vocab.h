/* SPDX-License-Identifier: Apache-2.0
 * The pieces of a vocabulary and the hash table that finds them. */
#ifndef RT_TEXT_WORDPIECE_VOCAB_H
#define RT_TEXT_WORDPIECE_VOCAB_H

#include "base/hash.h"
#include "text/component.h"

enum { RT_BEGINNINGS = 1024 };

typedef struct rt_vocab {
    char *text;       /* the pieces in the order of their ids, each ended by NUL; then RT_HASH_MARGIN */
    uint32_t *starts; /* [count + 1] where each begins in `text` */
    size_t count;
    uint32_t *slots; /* [mask + 1] */
    size_t mask;
    const char *prefix; /* of pieces that go on within a word */
    size_t prefix_length;
    rt_hash_state begin[2];             /* of a hash: of pieces that begin a word, that go on within one */
    uint32_t lengths[2][RT_BEGINNINGS]; /* see rt_vocab_lengths */
} rt_vocab;

/* From pieces ended by '\n'; an empty one is an id without a piece. `prefix` must outlive the vocabulary. */
retort_status rt_vocab_open(rt_vocab *vocab, const char *name, const void *pieces, size_t size,
                            const char *prefix, retort_error *err);
void rt_vocab_close(rt_vocab *vocab);

static inline size_t rt_vocab_beginning(const uint8_t *bytes, size_t length) {
    return (bytes[0] * 37u + (length > 1 ? bytes[1] * 4u : 0)) % RT_BEGINNINGS;
}
/* The bit of a length; the last one stands for all from 31 bytes on. */
static inline uint32_t rt_vocab_length_bit(size_t length) {
    return UINT32_C(1) << (length < 31 ? length : 31);
}
/* Lengths of the pieces that may begin as these `length` >= 1 bytes do, so that no other is looked for. */
static inline uint32_t rt_vocab_lengths(const rt_vocab *vocab, const uint8_t *bytes, size_t length,
                                        bool within) {
    uint32_t two = vocab->lengths[within][rt_vocab_beginning(bytes, length)];
    return two | rt_vocab_length_bit(1); /* a piece of one byte stands elsewhere */
}
static inline size_t rt_vocab_longest(uint32_t lengths) {
    size_t longest = 31 - (size_t)__builtin_clz(lengths);
    return longest < 31 ? longest : RT_PIECE_MAX;
}
/* Id of the piece with these bytes (and, within a word, the prefix before them), or -1. The hash goes on from
 * vocab->begin[within]. */
int32_t rt_vocab_find(const rt_vocab *vocab, const uint8_t *bytes, size_t length, bool within, uint64_t hash);
/* Id of a whole piece, or -1. */
int32_t rt_vocab_id(const rt_vocab *vocab, const char *piece, size_t length);
static inline const char *rt_vocab_piece(const rt_vocab *vocab, size_t id) {
    return vocab->text + vocab->starts[id];
}
static inline size_t rt_vocab_length(const rt_vocab *vocab, size_t id) {
    return vocab->starts[id + 1] - vocab->starts[id] - 1;
}

#endif
