/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

static bool is_name(const char *name, const char *text, size_t length) {
    return strnlen(name, length + 1) == length && memcmp(name, text, length) == 0;
}

/* The slot of the name, or the free slot where it belongs. */
static size_t slot_of(const rt_names *names, const char *text, size_t length) {
    size_t at = rt_hash(names->key, text, length) & (names->capacity - 1);
    while (names->slots[at].name != NULL && !is_name(names->slots[at].name, text, length))
        at = (at + 1) & (names->capacity - 1);
    return at;
}

static bool grow(rt_names *names) {
    bool first = names->capacity == 0;
    rt_names bigger = {.capacity = first ? 64 : names->capacity * 2};
    bigger.key = first ? rt_hash_key_new() : names->key;
    bigger.slots = rt_calloc(bigger.capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL) return false;
    for (size_t i = 0; i < names->capacity; i++) {
        const char *name = names->slots[i].name;
        if (name != NULL) bigger.slots[slot_of(&bigger, name, strlen(name))] = names->slots[i];
    }
    bigger.count = names->count;
    free(names->slots);
    *names = bigger;
    return true;
}

bool rt_names_add(rt_names *names, const char *name, int index, int *known) {
    if (2 * names->count >= names->capacity && !grow(names)) return false;
    struct rt_name_slot *slot = &names->slots[slot_of(names, name, strlen(name))];
    *known = slot->name != NULL ? slot->index : -1;
    if (slot->name == NULL) {
        *slot = (struct rt_name_slot){name, index};
        names->count++;
    }
    return true;
}

bool rt_names_put(rt_names *names, const char *name, int index) {
    if (2 * names->count >= names->capacity && !grow(names)) return false;
    struct rt_name_slot *slot = &names->slots[slot_of(names, name, strlen(name))];
    names->count += slot->name == NULL;
    *slot = (struct rt_name_slot){name, index};
    return true;
}

int rt_names_find(const rt_names *names, const char *text, size_t length) {
    if (names->capacity == 0) return -1;
    const struct rt_name_slot *slot = &names->slots[slot_of(names, text, length)];
    return slot->name != NULL ? slot->index : -1;
}

void rt_names_clear(rt_names *names) {
    if (names->count > 0) memset(names->slots, 0, names->capacity * sizeof *names->slots);
    names->count = 0;
}

void rt_names_free(rt_names *names) {
    free(names->slots);
    *names = (rt_names){0};
}

int rt_compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}
