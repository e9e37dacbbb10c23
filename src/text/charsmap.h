/* SPDX-License-Identifier: Apache-2.0
 * sentencepiece's character map: a trie of keys, and the string that each becomes. See precompiled.c. */
#ifndef RT_TEXT_CHARSMAP_H
#define RT_TEXT_CHARSMAP_H

#include "base/error.h"
#include "base/memory.h"

typedef struct rt_charsmap {
    const uint8_t *units; /* [count] of 4 bytes */
    size_t count;
    const uint8_t *strings; /* [size] */
    size_t size;
} rt_charsmap;

/* False: the lengths are not those of a map. `data` must outlive it. */
bool rt_charsmap_open(rt_charsmap *map, const void *data, size_t size);
/* What the shortest key that these bytes begin with becomes; NULL: there is none. */
const uint8_t *rt_charsmap_find(const rt_charsmap *map, const uint8_t *bytes, size_t length, size_t *size);
/* Sets the bits of the characters below U+10000 that have one: bit i of keys[k] is that of character 64 k + i. */
enum { RT_CHARSMAP_KEYS = 0x10000 / 64 };
void rt_charsmap_keys(const rt_charsmap *map, uint64_t *keys /* [RT_CHARSMAP_KEYS] */);
/* Refuses a map that no sentencepiece has made: a trie with loops or that points outside, strings that are no text. */
retort_status rt_charsmap_check(const char *name, const uint8_t *data, size_t size, retort_error *err);

/* Appends what base64 (RFC 4648, 4) stands for. False: it is none, or out of memory (out->failed). */
bool rt_base64_decode(rt_buffer *out, const char *text, size_t length);
/* The other way; out->failed: out of memory. */
void rt_base64_encode(rt_buffer *out, const void *data, size_t length);

#endif
