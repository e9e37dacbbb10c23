/* SPDX-License-Identifier: Apache-2.0
 * The one way to read untrusted bytes: every read is checked against the end. */
#ifndef RT_BASE_CURSOR_H
#define RT_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct rt_cursor {
    const uint8_t *at, *end;
} rt_cursor;

static inline rt_cursor rt_cursor_make(const void *data, size_t size) {
    return (rt_cursor){data, (const uint8_t *)data + size};
}
static inline size_t rt_cursor_left(const rt_cursor *c) {
    return (size_t)(c->end - c->at);
}
/* Takes the next n bytes; NULL, and takes nothing, if fewer are left. */
static inline const uint8_t *rt_take(rt_cursor *c, size_t n) {
    if (n > rt_cursor_left(c)) return NULL;
    const uint8_t *taken = c->at;
    c->at += n;
    return taken;
}
/* Little-endian integers; false if too few bytes are left. */
static inline bool rt_take_u8(rt_cursor *c, uint8_t *out) {
    const uint8_t *p = rt_take(c, 1);
    if (p != NULL) *out = *p;
    return p != NULL;
}
static inline bool rt_take_u16(rt_cursor *c, uint16_t *out) {
    const uint8_t *p = rt_take(c, 2);
    if (p != NULL) *out = (uint16_t)(p[0] | p[1] << 8);
    return p != NULL;
}
static inline bool rt_take_u32(rt_cursor *c, uint32_t *out) {
    const uint8_t *p = rt_take(c, 4);
    if (p != NULL) *out = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    return p != NULL;
}
static inline bool rt_take_u64(rt_cursor *c, uint64_t *out) {
    uint32_t low, high;
    rt_cursor saved = *c;
    if (rt_take_u32(c, &low) && rt_take_u32(c, &high)) {
        *out = low | (uint64_t)high << 32;
        return true;
    }
    *c = saved;
    return false;
}

#endif
