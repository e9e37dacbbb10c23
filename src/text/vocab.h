/* SPDX-License-Identifier: Apache-2.0
 * The pieces of a vocabulary and the hash table that finds them. */
#ifndef RT_TEXT_VOCAB_H
#define RT_TEXT_VOCAB_H

#include "base/error.h"
#include "base/memory.h"

enum { RT_PIECE_MAX = 512 }; /* bytes of a piece */
enum { RT_REACHES = 1024 };

typedef struct rt_vocab {
    char *text;       /* the pieces in the order of their ids, each ended by NUL */
    uint32_t *starts; /* [count + 1] where each begins in `text` */
    size_t count;
    uint32_t *slots; /* [mask + 1] */
    size_t mask;
    const char *prefix; /* of pieces that go on within a word: "##" */
    size_t prefix_length;
    uint16_t reach[2][RT_REACHES]; /* see rt_vocab_reach */
} rt_vocab;

/* From pieces ended by '\n'; an empty one is an id without a piece. `prefix` must outlive the vocabulary. */
retort_status rt_vocab_open(rt_vocab *vocab, const char *name, const void *pieces, size_t size,
                            const char *prefix, retort_error *err);
void rt_vocab_close(rt_vocab *vocab);

/* A hash taken a byte at a time, so that one pass over a word gives the hash of each of its beginnings. A
 * piece that goes on within a word is found by what follows its prefix. */
static inline uint64_t rt_vocab_hash(bool within) {
    return within ? UINT64_C(0x9AE16A3B2F90404F) : UINT64_C(0xCBF29CE484222325);
}
static inline uint64_t rt_vocab_hash_byte(uint64_t hash, uint8_t byte) {
    return (hash ^ byte) * UINT64_C(0x9E3779B97F4A7C15);
}
/* Bytes of the longest piece that may begin as these `length` >= 1 bytes do, so that no longer one is looked
 * for. */
static inline size_t rt_vocab_reach_index(const uint8_t *bytes, size_t length) {
    return (bytes[0] * 37u + (length > 1 ? bytes[1] * 4u : 0)) % RT_REACHES;
}
static inline size_t rt_vocab_reach(const rt_vocab *vocab, const uint8_t *bytes, size_t length, bool within) {
    size_t two = vocab->reach[within][rt_vocab_reach_index(bytes, length)];
    return two > 1 ? two : 1; /* a piece of one byte stands elsewhere */
}
/* Id of the piece with these bytes (and, within a word, the prefix before them) and this hash, or -1. */
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
