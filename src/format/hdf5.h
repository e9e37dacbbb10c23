/* SPDX-License-Identifier: Apache-2.0
 * The part of HDF5 that Keras uses for weights: groups of contiguous datasets. Names follow the "HDF5 File
 * Format Specification" 3.0. Everything that leads out of the file, or to a filter, is refused by name. */
#ifndef RT_FORMAT_HDF5_H
#define RT_FORMAT_HDF5_H

#include "base/cursor.h"
#include "format/format.h"

/* An item to read: an object (a group or a dataset), or a part of the index of a group. */
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
    size_t unread; /* bytes not read yet: a valid file needs no part twice, so cycles end here */
    int offset_size, length_size;
    rt_h5_item *items; /* a queue: taken from the front, added at the back */
    size_t item_count, item_capacity;
    rt_arena arena; /* paths */
    retort_error *err;
} rt_h5;

/* Messages of an object header that describe the object. */
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

/* Fails with "FILE: '/PATH': " and the text. */
retort_status rt_h5_fail(const rt_h5 *h, retort_status status, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Fails with "FILE: '/PATH': WHAT is malformed". */
retort_status rt_h5_malformed(const rt_h5 *h, const char *path, const char *what);
/* Returns bytes of the file and counts them as read. `what` names them in an error. */
retort_status rt_h5_view(rt_h5 *h, const char *path, const char *what, uint64_t address, uint64_t length,
                         rt_cursor *out);
/* An integer of 1 to 8 bytes. */
bool rt_h5_take(rt_cursor *c, int bytes, uint64_t *out);
/* Whether an address is undefined: all its bits are set. */
bool rt_h5_undefined(const rt_h5 *h, uint64_t address);
retort_status rt_h5_push(rt_h5 *h, const rt_h5_item *item);
/* Queues the object `name` of a group. */
retort_status rt_h5_push_child(rt_h5 *h, const char *group, const void *name, size_t length,
                               uint64_t address);

/* Reads a header of either version and queues its links. */
retort_status rt_h5_read_object(rt_h5 *h, const char *path, uint64_t address, rt_h5_object *out);
/* Queues the targets of the symbol table, or of the link info, of a group. */
retort_status rt_h5_read_table(rt_h5 *h, const rt_h5_object *group);
retort_status rt_h5_read_links(rt_h5 *h, const rt_h5_object *group);
/* Queues the target of a link message. */
retort_status rt_h5_read_link(rt_h5 *h, const char *group, rt_cursor body);
/* Nodes of a symbol table. */
retort_status rt_h5_read_tree(rt_h5 *h, const rt_h5_item *item);
retort_status rt_h5_read_symbols(rt_h5 *h, const rt_h5_item *item);
/* Adds the tensor of a dataset. */
retort_status rt_h5_read_dataset(rt_h5 *h, const rt_h5_object *dataset);

#endif
