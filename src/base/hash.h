/* SPDX-License-Identifier: Apache-2.0
 * SipHash-1-3 (Aumasson and Bernstein, 2012): without the key, nobody can construct collisions. Each table of
 * names from files has a new random key, so no file can make it slow. */
#ifndef RT_BASE_HASH_H
#define RT_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct rt_hash_key {
    uint64_t words[2];
} rt_hash_key;
/* A random key. */
rt_hash_key rt_hash_key_new(void);

/* An incremental hash: rt_hash_begin, rt_hash_block for each 8 bytes, rt_hash_end for the rest. rt_hash_end
 * may be called repeatedly, to hash all prefixes of a text. */
typedef struct rt_hash_state {
    uint64_t v[4];
} rt_hash_state;

static inline uint64_t rt_rotate(uint64_t word, int bits) {
    return word << bits | word >> (64 - bits);
}

static inline void rt_hash_round(rt_hash_state *s) {
    s->v[0] += s->v[1];
    s->v[2] += s->v[3];
    s->v[1] = rt_rotate(s->v[1], 13) ^ s->v[0];
    s->v[3] = rt_rotate(s->v[3], 16) ^ s->v[2];
    s->v[0] = rt_rotate(s->v[0], 32) + s->v[3];
    s->v[2] += s->v[1];
    s->v[3] = rt_rotate(s->v[3], 21) ^ s->v[0];
    s->v[1] = rt_rotate(s->v[1], 17) ^ s->v[2];
    s->v[2] = rt_rotate(s->v[2], 32);
}

static inline rt_hash_state rt_hash_begin(rt_hash_key key) {
    return (rt_hash_state){
        {key.words[0] ^ UINT64_C(0x736F6D6570736575), key.words[1] ^ UINT64_C(0x646F72616E646F6D),
         key.words[0] ^ UINT64_C(0x6C7967656E657261), key.words[1] ^ UINT64_C(0x7465646279746573)}};
}

static inline void rt_hash_word(rt_hash_state *state, uint64_t word) {
    state->v[3] ^= word;
    rt_hash_round(state);
    state->v[0] ^= word;
}

static inline void rt_hash_block(rt_hash_state *state, const uint8_t bytes[8]) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    rt_hash_word(state, word);
}

/* The hash of `length` bytes, after `state` has consumed all blocks; `word` holds the rest, zero-padded. */
static inline uint64_t rt_hash_finish(rt_hash_state state, uint64_t word, size_t length) {
    rt_hash_word(&state, word | (uint64_t)length << 56);
    state.v[2] ^= 0xFF;
    for (int i = 0; i < 3; i++) rt_hash_round(&state);
    return state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3];
}

static inline uint64_t rt_hash_end(rt_hash_state state, const uint8_t *rest, size_t length) {
    uint64_t word = 0;
    memcpy(&word, rest, length % 8);
    return rt_hash_finish(state, word, length);
}

/* The same if RT_HASH_MARGIN bytes after the last one are readable: loads without a branch. */
enum { RT_HASH_MARGIN = 8 };
static inline uint64_t rt_hash_end_wide(rt_hash_state state, const uint8_t *rest, size_t length) {
    uint64_t word;
    memcpy(&word, rest, sizeof word);
    return rt_hash_finish(state, word & ((UINT64_C(1) << 8 * (length % 8)) - 1), length);
}

static inline uint64_t rt_hash_from(rt_hash_state state, const void *data, size_t length) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length / 8; i++, bytes += 8) rt_hash_block(&state, bytes);
    return rt_hash_end(state, bytes, length);
}

static inline uint64_t rt_hash(rt_hash_key key, const void *data, size_t length) {
    return rt_hash_from(rt_hash_begin(key), data, length);
}

#endif
