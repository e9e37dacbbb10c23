/* SPDX-License-Identifier: Apache-2.0 */
#include "text/state.h"

#include <stdlib.h>
#include <string.h>

/* 1 MiB of slots: fits the second-level cache that a core of a server has to itself. */
enum { DEFAULT_SLOTS = 8192, MAX_SLOTS = 1 << 22 };

void rt_scratch_free(rt_scratch *scratch) {
    rt_normalized_free(&scratch->normalized);
    rt_tokens_free(&scratch->first);
    rt_tokens_free(&scratch->second);
    free(scratch->known);
    free(scratch->joined);
    *scratch = (rt_scratch){0};
}

rt_word_cache *rt_word_cache_new(const rt_tokenizer *tokenizer, size_t slots) {
    size_t rounded = 2; /* a segment may be in either of two */
    while (rounded < (slots == 0 ? DEFAULT_SLOTS : rt_min(slots, MAX_SLOTS))) rounded *= 2;
    rt_word_cache *cache = rt_calloc(1, sizeof *cache);
    /* Not cleared here: the system does it page by page, for the slots that are used. A first answer uses few, and
     * clearing all took 0.5 ms. */
    void *memory = rt_calloc(rounded + 1, sizeof(rt_segment));
    if (cache == NULL || memory == NULL) {
        free(cache);
        free(memory);
        return NULL;
    }
    rt_segment *segments = (rt_segment *)rt_round_up((uintptr_t)memory, sizeof *segments);
    *cache =
        (rt_word_cache){.tokenizer = tokenizer, .memory = memory, .slots = segments, .mask = rounded - 1};
    return cache;
}

void rt_word_cache_free(rt_word_cache *cache) {
    if (cache == NULL) return;
    rt_scratch_free(&cache->scratch);
    free(cache->memory);
    free(cache);
}

static uint64_t load(const uint8_t *bytes, size_t length) {
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    return word;
}

/* 1 to 8 bytes as a number, by loads of constant size that may overlap. */
static uint64_t load_tail(const uint8_t *bytes, size_t length) {
    if (length == 8) return load(bytes, 8);
    if (length >= 4) return load(bytes, 4) << 32 | load(bytes + length - 4, 4);
    return (uint64_t)bytes[0] << 16 | (uint64_t)bytes[length / 2] << 8 | bytes[length - 1];
}

/* Whoever aims at one slot only makes others miss: a miss costs what having no cache costs. So no secret
 * seed. */
rt_segment *rt_word_cache_slot(const rt_word_cache *cache, const uint8_t *bytes, size_t length) {
    uint64_t hash = length * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = 0;
    for (; length - at > 8; at += 8) {
        hash = (hash ^ load(bytes + at, 8)) * UINT64_C(0xD6E8FEB86659FD93);
        hash ^= hash >> 32;
    }
    hash = (hash ^ load_tail(bytes + at, length - at)) * UINT64_C(0xD6E8FEB86659FD93);
    size_t index = (hash ^ hash >> 32) & cache->mask;
    rt_segment *slot = &cache->slots[index], *other = &cache->slots[index ^ 1];
    if (rt_segment_holds(slot, bytes, length)) return slot;
    return slot->length > 0 && (other->length == 0 || rt_segment_holds(other, bytes, length)) ? other : slot;
}

bool rt_recall_word(const rt_segment *segment, const rt_point *points, size_t added, int32_t number,
                    rt_tokens *tokens) {
    size_t need = tokens->count + segment->count;
    if (!rt_grow((void **)&tokens->data, &tokens->capacity, need, sizeof *tokens->data)) return false;
    for (size_t i = 0; i < segment->count; i++) {
        tokens->data[tokens->count++] = (rt_token){.id = segment->ids[i],
                                                   rt_source_of(points, added, segment->start[i]),
                                                   rt_source_of(points, added, segment->end[i] - 1u) + 1,
                                                   number};
    }
    return true;
}

void rt_remember_word(rt_segment *segment, const uint8_t *bytes, size_t length, const rt_tokens *tokens,
                      size_t first) {
    size_t count = tokens->count - first;
    if (count > RT_SEGMENT_TOKENS) return;
    memcpy(segment->key, bytes, length);
    segment->length = (uint8_t)length;
    segment->count = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        const rt_token *token = &tokens->data[first + i];
        segment->ids[i] = token->id;
        segment->start[i] = (uint8_t)token->start;
        segment->end[i] = (uint8_t)token->end;
    }
}
