/* SPDX-License-Identifier: Apache-2.0 */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

static size_t hash(const char *text, size_t length) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a, 64 bits */
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (size_t)(h ^ h >> 32);
}

/* The slot that holds the name, or the free one where it belongs. */
static size_t slot_of(const rt_names *names, const char *text, size_t length) {
    size_t at = hash(text, length) & (names->capacity - 1);
    while (names->slots[at].name != NULL &&
           (strncmp(names->slots[at].name, text, length) != 0 || names->slots[at].name[length] != '\0'))
        at = (at + 1) & (names->capacity - 1);
    return at;
}

static bool grow(rt_names *names) {
    rt_names bigger = {.capacity = names->capacity == 0 ? 64 : names->capacity * 2};
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

int rt_names_find(const rt_names *names, const char *text, size_t length) {
    if (names->capacity == 0) return -1;
    const struct rt_name_slot *slot = &names->slots[slot_of(names, text, length)];
    return slot->name != NULL ? slot->index : -1;
}

void rt_names_free(rt_names *names) {
    free(names->slots);
    *names = (rt_names){0};
}
