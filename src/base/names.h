/* SPDX-License-Identifier: Apache-2.0
 * Names to indices: open addressing, for graphs of any size and with any names. */
#ifndef RT_BASE_NAMES_H
#define RT_BASE_NAMES_H

#include "base/hash.h"
#include "base/memory.h"

/* Zero-initialise; the names' text belongs to the caller and must stay where it is. */
typedef struct rt_names {
    struct rt_name_slot {
        const char *name; /* NULL: free */
        int index;
    } * slots;
    rt_hash_key key;
    size_t capacity, count; /* capacity: a power of two, at least twice count */
} rt_names;

/* Adds a name. *known is the index it already had (then nothing is added), else -1. False: out of memory. */
bool rt_names_add(rt_names *names, const char *name, int index, int *known);
/* Adds a name, or gives the one that is there another index. False: out of memory. */
bool rt_names_put(rt_names *names, const char *name, int index);
/* The index of text[0…length), -1 when it is not there. */
int rt_names_find(const rt_names *names, const char *text, size_t length);
/* Forgets all names; the memory stays. */
void rt_names_clear(rt_names *names);
void rt_names_free(rt_names *names);

#endif
