/* SPDX-License-Identifier: Apache-2.0
 * A hash table from names to indices, with open addressing, for any number of any names. */
#ifndef RT_BASE_NAMES_H
#define RT_BASE_NAMES_H

#include "base/hash.h"
#include "base/memory.h"

/* Zero-initialise. The text of the names belongs to the caller and must not move. */
typedef struct rt_names {
    struct rt_name_slot {
        const char *name; /* NULL: free */
        int index;
    } * slots;
    rt_hash_key key;
    size_t capacity, count; /* capacity: a power of two, at least twice count */
} rt_names;

/* Adds a name. *known: its index if it already exists (nothing is added), else -1. False: out of memory. */
bool rt_names_add(rt_names *names, const char *name, int index, int *known);
/* Adds a name, or changes its index if it exists. False: out of memory. */
bool rt_names_put(rt_names *names, const char *name, int index);
/* The index of text[0…length), or -1. */
int rt_names_find(const rt_names *names, const char *text, size_t length);
/* Removes all names but keeps the memory. */
void rt_names_clear(rt_names *names);
void rt_names_free(rt_names *names);

/* For qsort and bsearch of an array of names: by their bytes. */
int rt_compare_names(const void *a, const void *b);

#endif
