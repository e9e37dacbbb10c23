/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"
#include "base/budget.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *rt_calloc(size_t n, size_t size) {
    size_t bytes;
    if (!rt_mul(n, size, &bytes) || !rt_budget_fits(bytes)) return NULL;
    return calloc(n == 0 ? 1 : n, size == 0 ? 1 : size);
}

bool rt_grow(void **array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity) return true;
    size_t wanted = *capacity < 8 ? 8 : *capacity;
    while (wanted < need) {
        if (!rt_mul(wanted, 2, &wanted)) return false;
    }
    size_t bytes;
    if (!rt_mul(wanted, size, &bytes) || !rt_budget_take(bytes - *capacity * size)) return false;
    void *grown = realloc(*array, bytes);
    if (grown == NULL) {
        rt_budget_give(bytes - *capacity * size);
        return false;
    }
    *array = grown;
    *capacity = wanted;
    return true;
}

void *rt_alloc_aligned(size_t bytes) {
    if (bytes > SIZE_MAX - 63 || !rt_budget_fits(bytes)) return NULL;
    return aligned_alloc(64, rt_round_up(bytes == 0 ? 1 : bytes, 64));
}

/* The header fills one cache line, so that a block's payload stays aligned. */
struct rt_arena_block {
    struct rt_arena_block *next;
    size_t capacity; /* payload bytes */
    char pad[48];
};
enum { ARENA_BLOCK = 64 * 1024 };

static bool arena_new_block(rt_arena *arena, size_t bytes) {
    size_t capacity = rt_max(bytes, ARENA_BLOCK), total;
    if (!rt_add(capacity, sizeof(struct rt_arena_block), &total)) return false;
    struct rt_arena_block *block = rt_alloc_aligned(total);
    if (block == NULL) return false;
    rt_budget_take(total); /* fits: rt_alloc_aligned has checked */
    block->next = arena->blocks;
    block->capacity = capacity;
    arena->blocks = block;
    arena->used = 0;
    return true;
}

void *rt_arena_calloc(rt_arena *arena, size_t n, size_t size) {
    size_t bytes;
    if (!rt_mul(n, size, &bytes) || bytes > SIZE_MAX / 2) return NULL;
    size_t at = rt_round_up(arena->used, bytes >= 64 ? 64 : 16);
    if (arena->blocks == NULL || at > arena->blocks->capacity || bytes > arena->blocks->capacity - at) {
        if (!arena_new_block(arena, bytes)) return NULL;
        at = 0;
    }
    void *out = (char *)(arena->blocks + 1) + at;
    arena->used = at + bytes;
    return memset(out, 0, bytes);
}

char *rt_arena_text(rt_arena *arena, const char *text, size_t length) {
    char *copy = length == SIZE_MAX ? NULL : rt_arena_calloc(arena, length + 1, 1);
    if (copy != NULL && length > 0) memcpy(copy, text, length);
    return copy;
}

void rt_arena_free(rt_arena *arena) {
    while (arena->blocks != NULL) {
        struct rt_arena_block *next = arena->blocks->next;
        rt_budget_give(arena->blocks->capacity + sizeof *arena->blocks);
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->used = 0;
}

static bool buffer_reserve(rt_buffer *buffer, size_t more) {
    size_t need;
    bool fits = rt_add(buffer->length, more, &need) && rt_add(need, 1, &need) &&
                (buffer->limit == 0 || need - 1 <= buffer->limit) &&
                rt_grow((void **)&buffer->data, &buffer->capacity, need, 1);
    if (!fits) buffer->failed = true;
    return fits;
}

void rt_buffer_append(rt_buffer *buffer, const void *data, size_t length) {
    if (buffer->failed || !buffer_reserve(buffer, length)) return;
    if (length > 0) memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void rt_buffer_text(rt_buffer *buffer, const char *text) {
    rt_buffer_append(buffer, text, strlen(text));
}

void rt_buffer_format(rt_buffer *buffer, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) {
        buffer->failed = true;
    } else if (!buffer->failed && buffer_reserve(buffer, (size_t)length)) {
        vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
        buffer->length += (size_t)length;
    }
    va_end(again);
}

void rt_buffer_free(rt_buffer *buffer) {
    rt_budget_give(buffer->capacity);
    free(buffer->data);
    *buffer = (rt_buffer){.limit = buffer->limit};
}
