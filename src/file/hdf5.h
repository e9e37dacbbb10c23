/* SPDX-License-Identifier: Apache-2.0
 * The part of HDF5 that Keras writes weights in: groups of datasets that lie in one piece. "HDF5 File Format
 * Specification" 3.0, whose names are used here. Everything that would lead out of the file, or into a
 * filter, is refused by its name. */
#ifndef RT_FILE_HDF5_H
#define RT_FILE_HDF5_H

#include "base/cursor.h"
#include "file/format.h"

/* What is still to be read: an object (a group or a dataset), or a part of a group's index. */
typedef enum rt_h5_kind { RT_H5_OBJECT, RT_H5_TREE, RT_H5_SYMBOLS } rt_h5_kind;
typedef struct rt_h5_item {
    rt_h5_kind kind;
    const char *path; /* of the object, or of the group that the index belongs to; "" is the root */
    uint64_t address;
    rt_cursor names; /* TREE, SYMBOLS: the local heap's data */
    unsigned level;  /* TREE: lower than this above the leaves */
} rt_h5_item;
enum { RT_H5_MAX_LEVEL = 16 };

typedef struct rt_h5 {
    rt_tensors *out;
    const char *name; /* starts error texts */
    const uint8_t *data;
    size_t size;
    size_t unread; /* bytes not looked at yet: no part of a sound file is needed twice, so cycles end here */
    int offset_size, length_size;
    rt_h5_item *items; /* a queue: read from the front, grown at the back */
    size_t item_count, item_capacity;
    rt_arena arena; /* paths */
    retort_error *err;
} rt_h5;

/* Messages of an object's header that say what it is. */
typedef enum rt_h5_message {
    RT_H5_SPACE,
    RT_H5_LINKS,
    RT_H5_TYPE,
    RT_H5_EXTERNAL,
    RT_H5_LAYOUT,
    RT_H5_FILTERS,
    RT_H5_TABLE,
    RT_H5_MESSAGES
} rt_h5_message;
typedef struct rt_h5_object {
    const char *path;
    bool has[RT_H5_MESSAGES];
    rt_cursor body[RT_H5_MESSAGES];
} rt_h5_object;

/* "FILE: '/PATH': " and the rest. */
retort_status rt_h5_fail(const rt_h5 *h, retort_status status, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Bytes of the file, each counted as read. `what` names them in an error. */
retort_status rt_h5_view(rt_h5 *h, const char *path, const char *what, uint64_t address, uint64_t length,
                         rt_cursor *out);
/* An integer of 1 to 8 bytes. */
bool rt_h5_take(rt_cursor *c, int bytes, uint64_t *out);
/* Whether an address of this file stands for "none": all its bits are set. */
bool rt_h5_undefined(const rt_h5 *h, uint64_t address);
retort_status rt_h5_push(rt_h5 *h, const rt_h5_item *item);
/* The object `name` of a group, to be read later. */
retort_status rt_h5_push_child(rt_h5 *h, const char *group, const void *name, size_t length,
                               uint64_t address);

/* Reads a header, of both versions; links in it are pushed. */
retort_status rt_h5_read_object(rt_h5 *h, const char *path, uint64_t address, rt_h5_object *out);
/* Pushes what a group's symbol table, or its link info, points to. */
retort_status rt_h5_read_table(rt_h5 *h, const rt_h5_object *group);
retort_status rt_h5_read_links(rt_h5 *h, const rt_h5_object *group);
/* A link message's child. */
retort_status rt_h5_read_link(rt_h5 *h, const char *group, rt_cursor body);
/* Nodes of a symbol table. */
retort_status rt_h5_read_tree(rt_h5 *h, const rt_h5_item *item);
retort_status rt_h5_read_symbols(rt_h5 *h, const rt_h5_item *item);
/* Adds a dataset's tensor. */
retort_status rt_h5_read_dataset(rt_h5 *h, const rt_h5_object *dataset);

#endif
