/* SPDX-License-Identifier: Apache-2.0
 * UTF-8 as Python's errors="replace" reads it: each maximal malformed part becomes one U+FFFD (Unicode 15.0,
 * 3.9, "U+FFFD Substitution of Maximal Subparts"). */
#ifndef RT_BASE_UTF8_H
#define RT_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RT_REPLACEMENT = 0xFFFD };

/* How a sequence goes on after its first byte: bytes that follow, and the range of the first of them (table
 * 3-7 of the standard). follow is 0 for a byte that starts nothing. */
typedef struct rt_utf8_lead {
    uint8_t follow, low, high;
} rt_utf8_lead;

static inline rt_utf8_lead rt_utf8_lead_of(uint8_t byte) {
    if (byte < 0xC2 || byte > 0xF4) return (rt_utf8_lead){0, 0, 0};
    if (byte < 0xE0) return (rt_utf8_lead){1, 0x80, 0xBF};
    if (byte < 0xF0) return (rt_utf8_lead){2, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF};
    return (rt_utf8_lead){3, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF};
}

/* The code point at `at` (which is before `end`); returns the bytes it takes, at least 1. */
static inline size_t rt_utf8_take(const uint8_t *at, const uint8_t *end, uint32_t *point) {
    *point = at[0];
    if (at[0] < 0x80) return 1;
    rt_utf8_lead lead = rt_utf8_lead_of(at[0]);
    uint32_t value = at[0] & (0x3Fu >> lead.follow);
    *point = RT_REPLACEMENT;
    if (lead.follow == 0) return 1;
    for (size_t i = 1; i <= lead.follow; i++) {
        if (at + i >= end || at[i] < lead.low || at[i] > lead.high) return i;
        value = value << 6 | (at[i] & 0x3Fu);
        lead.low = 0x80;
        lead.high = 0xBF;
    }
    *point = value;
    return 1u + lead.follow;
}

/* Writes up to 4 bytes, returns how many. */
static inline size_t rt_utf8_put(uint8_t *out, uint32_t point) {
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t follow = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (size_t i = follow; i > 0; i--, point >>= 6) out[i] = (uint8_t)(0x80 | (point & 0x3F));
    out[0] = (uint8_t)(0xFF00u >> (follow + 1) | point);
    return follow + 1;
}

/* Code points in [at, end). */
static inline size_t rt_utf8_count(const uint8_t *at, const uint8_t *end) {
    size_t count = 0;
    for (uint32_t point; at < end; count++) at += rt_utf8_take(at, end, &point);
    return count;
}

/* Whether the bytes are well-formed; *bad is the offset of the first malformed part. */
static inline bool rt_utf8_valid(const uint8_t *text, size_t size, size_t *bad) {
    uint32_t point;
    for (size_t i = 0, n; i < size; i += n) {
        uint64_t eight = UINT64_MAX;
        if (size - i >= sizeof eight) memcpy(&eight, text + i, sizeof eight);
        n = sizeof eight;
        if ((eight & UINT64_C(0x8080808080808080)) == 0) continue; /* ASCII */
        *bad = i;
        n = rt_utf8_take(text + i, text + size, &point);
        if (point == RT_REPLACEMENT && (n != 3 || text[i] != 0xEF)) return false;
    }
    return true;
}

#endif
