/* SPDX-License-Identifier: Apache-2.0
 * Allocation with checked sizes, an arena for objects with a common lifetime, a growing buffer with a cap. */
#ifndef RT_BASE_MEMORY_H
#define RT_BASE_MEMORY_H

#include "base/size.h"

#include <stdint.h>

/* Zeroed array of n items; NULL if out of memory or if n * size overflows. n == 0 gives a valid pointer. */
void *rt_calloc(size_t n, size_t size);
/* Grows *array (of `size`-byte items) to hold at least `need` items, doubling. False: nothing changed. */
bool rt_grow(void **array, size_t *capacity, size_t need, size_t size);
/* 64-byte aligned block, uninitialised; free with free(). */
void *rt_alloc_aligned(size_t bytes);

/* Bump allocator: allocations live until rt_arena_free. Zero-initialise before use. */
typedef struct rt_arena {
    struct rt_arena_block *blocks;
    size_t used; /* bytes of the newest block */
} rt_arena;
/* Zeroed; aligned to 64 bytes if bytes >= 64, else to 16. NULL if out of memory or if n * size overflows. */
void *rt_arena_calloc(rt_arena *arena, size_t n, size_t size);
/* NUL-terminated copy. */
char *rt_arena_text(rt_arena *arena, const char *text, size_t length);
void rt_arena_free(rt_arena *arena);

/* Growing bytes with a cap. Once an append fails, `failed` stays set and later appends do nothing. */
typedef struct rt_buffer {
    char *data; /* NUL-terminated after each append; NULL while empty */
    size_t length;
    size_t capacity;
    size_t limit; /* 0: no cap */
    bool failed;
} rt_buffer;
void rt_buffer_append(rt_buffer *buffer, const void *data, size_t length);
void rt_buffer_text(rt_buffer *buffer, const char *text);
void rt_buffer_format(rt_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rt_buffer_free(rt_buffer *buffer);

#endif
