/* SPDX-License-Identifier: Apache-2.0
 * A unit of the trie (darts-clone), from the lowest bit: a byte of its key, whether a key ends here, how far its children
 * are. Child and value are at base ^ byte and base ^ 0, as in piece_trie.h. */
#include "text/charsmap.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* XLM-R's map has 44,288 units and strings of up to 33 bytes. */
enum { MAX_UNITS = 1 << 20, MAX_STRING = 255 };

static uint32_t unit_at(const rt_charsmap *map, size_t at) {
    uint32_t unit;
    memcpy(&unit, map->units + 4 * at, sizeof unit);
    return unit;
}

static uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}

static bool has_value(uint32_t unit) {
    return unit >> 8 & 1;
}

/* The byte of a unit; of a value, none. */
static uint32_t label_of(uint32_t unit) {
    return unit & (1u << 31 | 0xFF);
}

bool rt_charsmap_open(rt_charsmap *map, const void *data, size_t size) {
    uint32_t bytes;
    if (size < sizeof bytes) return false;
    memcpy(&bytes, data, sizeof bytes);
    if (bytes % 4 != 0 || bytes == 0 || bytes > size - sizeof bytes || bytes / 4 > MAX_UNITS) return false;
    map->units = (const uint8_t *)data + sizeof bytes;
    map->count = bytes / 4;
    map->strings = map->units + bytes;
    map->size = size - sizeof bytes - bytes;
    return true;
}

/* The string at `at`, of up to MAX_STRING bytes; NULL: there is none. */
static const uint8_t *string_at(const rt_charsmap *map, uint32_t at, size_t *size) {
    if (at >= map->size) return NULL;
    size_t most = rt_min(map->size - at, MAX_STRING + 1);
    const uint8_t *string = map->strings + at, *end = memchr(string, '\0', most);
    if (end == NULL) return NULL;
    *size = (size_t)(end - string);
    return string;
}

typedef enum key_state { NO_KEY, KEY_GOES_ON, KEY_ENDS } key_state;

/* Goes on by a byte from the children at *at, to its own. */
static inline key_state step(const rt_charsmap *map, uint32_t *at, uint8_t byte) {
    *at ^= byte;
    if (byte == 0 || *at >= map->count) return NO_KEY;
    uint32_t unit = unit_at(map, *at);
    if (label_of(unit) != byte) return NO_KEY;
    *at ^= offset_of(unit);
    return has_value(unit) ? KEY_ENDS : KEY_GOES_ON;
}

const uint8_t *rt_charsmap_find(const rt_charsmap *map, const uint8_t *bytes, size_t length, size_t *size) {
    uint32_t at = offset_of(unit_at(map, 0));
    key_state state = KEY_GOES_ON;
    for (size_t i = 0; i < length && state == KEY_GOES_ON; i++) state = step(map, &at, bytes[i]);
    if (state != KEY_ENDS || at >= map->count) return NULL;
    return string_at(map, unit_at(map, at) & 0x7FFFFFFF, size);
}

/* Of 64 characters from `first` on, which differ in their last byte. */
static uint64_t find_keys(const rt_charsmap *map, uint32_t first) {
    uint8_t bytes[4];
    size_t last = rt_utf8_put(bytes, first) - 1;
    uint32_t at = offset_of(unit_at(map, 0));
    uint64_t keys = 0;
    key_state state = KEY_GOES_ON;
    for (size_t i = 0; i < last && state == KEY_GOES_ON; i++) state = step(map, &at, bytes[i]);
    if (state == KEY_ENDS) return UINT64_MAX;
    for (uint32_t i = 0; i < 64 && state == KEY_GOES_ON; i++) {
        uint32_t child = at;
        if (step(map, &child, (uint8_t)(bytes[last] + i)) == KEY_ENDS) keys |= UINT64_C(1) << i;
    }
    return keys;
}

void rt_charsmap_keys(const rt_charsmap *map, uint64_t *keys) {
    for (uint32_t i = 0; i < RT_CHARSMAP_KEYS; i++) keys[i] = find_keys(map, 64 * i);
}

/* ---- Checks ---- */

typedef enum unit_state { UNSEEN, OPEN, DONE } unit_state;

/* A way from the root into the trie. */
typedef struct walk_step {
    uint32_t base; /* of the unit's children */
    uint32_t unit;
    uint32_t next; /* byte to look for */
} walk_step;

typedef struct walk {
    const rt_charsmap *map;
    uint8_t *states;
    walk_step *steps;
    size_t depth, capacity;
    const char *fault;
} walk;

static bool enter(walk *w, uint32_t at) {
    uint32_t unit = unit_at(w->map, at), base = at ^ offset_of(unit);
    size_t size;
    w->states[at] = OPEN;
    if (base >= w->map->count) {
        w->fault = "a unit outside of the trie";
        return true;
    }
    if (at != 0 && has_value(unit) && string_at(w->map, unit_at(w->map, base) & 0x7FFFFFFF, &size) == NULL)
        w->fault = "a string that is too long, or outside of the map";
    if (!rt_grow((void **)&w->steps, &w->capacity, w->depth + 1, sizeof *w->steps)) return false;
    w->steps[w->depth++] = (walk_step){.base = base, .unit = at, .next = 1};
    return true;
}

/* Goes to the next child that was not seen, or back. */
static bool advance(walk *w) {
    walk_step *top = &w->steps[w->depth - 1];
    while (top->next < 256) {
        uint32_t byte = top->next++, at = top->base ^ byte;
        if (at >= w->map->count || label_of(unit_at(w->map, at)) != byte) continue;
        if (w->states[at] == OPEN) w->fault = "a loop in the trie";
        if (w->states[at] == UNSEEN) return enter(w, at);
    }
    w->states[top->unit] = DONE;
    w->depth--;
    return true;
}

static const char *check_trie(const rt_charsmap *map, bool *memory) {
    walk w = {.map = map, .states = rt_calloc(map->count, 1)};
    *memory = w.states != NULL && enter(&w, 0);
    while (*memory && w.fault == NULL && w.depth > 0) *memory = advance(&w);
    free(w.states);
    free(w.steps);
    return w.fault;
}

retort_status rt_charsmap_check(const char *name, const uint8_t *data, size_t size, retort_error *err) {
    rt_charsmap map;
    size_t bad;
    bool memory = true;
    const char *fault = NULL;
    if (!rt_charsmap_open(&map, data, size)) {
        fault = "the length of the trie";
    } else if (!rt_utf8_valid(map.strings, map.size, &bad)) {
        fault = "strings that are not UTF-8";
    } else {
        fault = check_trie(&map, &memory);
    }
    if (!memory) return rt_fail_nomem(err, map.count);
    if (fault == NULL) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: normalizer: the character map of %zu bytes is damaged: %s", name,
                   size, fault);
}

/* ---- Base64 ---- */

static int digit_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool rt_base64_decode(rt_buffer *out, const char *text, size_t length) {
    if (length % 4 != 0) return false;
    for (size_t i = 0; i < length; i += 4) {
        size_t digits = 4;
        uint32_t bits = 0;
        if (i + 4 == length && text[i + 3] == '=') digits = text[i + 2] == '=' ? 2 : 3;
        for (size_t k = 0; k < 4; k++) {
            int digit = k < digits ? digit_of(text[i + k]) : 0;
            if (digit < 0) return false;
            bits = bits << 6 | (uint32_t)digit;
        }
        const uint8_t bytes[3] = {(uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits};
        rt_buffer_append(out, bytes, digits - 1);
    }
    return !out->failed;
}

void rt_base64_encode(rt_buffer *out, const void *data, size_t length) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = data;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t bits =
            (uint32_t)at[i] << 16 | (left > 1 ? (uint32_t)at[i + 1] << 8 : 0) | (left > 2 ? at[i + 2] : 0);
        const char text[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
                              left > 1 ? digits[bits >> 6 & 63] : '=', left > 2 ? digits[bits & 63] : '='};
        rt_buffer_append(out, text, sizeof text);
    }
}
