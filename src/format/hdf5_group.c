/* SPDX-License-Identifier: Apache-2.0
 * Groups: the symbol tables of all versions of HDF5 (sections III.A, B and D of the specification), which
 * Keras's files have, and the links of version 1.8 and later (IV.A.2.c and g). */
#include "format/hdf5.h"

#include <inttypes.h>

/* How a link's message ends its kinds: 0 is hard, the rest lead elsewhere. */
enum { HARD = 0, SOFT = 1, EXTERNAL = 64, SYMBOL_EXTRA = 24, CACHED_LINK = 2 };

/* ---- Symbol tables ---- */

static bool is_marked(rt_cursor *c, const char *mark) {
    const uint8_t *p = rt_take(c, 4);
    return p != NULL && memcmp(p, mark, 4) == 0;
}

/* The names' bytes: mark, version, three bytes, size, list of free places, address. */
static retort_status read_heap(rt_h5 *h, const char *path, uint64_t address, rt_cursor *names) {
    rt_cursor c;
    uint64_t size, free_list, data;
    retort_status status = rt_h5_view(h, path, "a local heap", address,
                                      8 + 2 * (size_t)h->length_size + (size_t)h->offset_size, &c);
    if (status != RETORT_OK) return status;
    if (!is_marked(&c, "HEAP") || rt_take(&c, 4) == NULL || !rt_h5_take(&c, h->length_size, &size) ||
        !rt_h5_take(&c, h->length_size, &free_list) || !rt_h5_take(&c, h->offset_size, &data)) {
        return rt_h5_malformed(h, path, "its local heap");
    }
    return rt_h5_view(h, path, "a heap's data", data, size, names);
}

retort_status rt_h5_read_table(rt_h5 *h, const rt_h5_object *group) {
    rt_cursor c = group->body[RT_H5_TABLE];
    uint64_t tree, heap;
    rt_h5_item item = {.kind = RT_H5_TREE, .path = group->path, .level = RT_H5_MAX_LEVEL};
    if (!rt_h5_take(&c, h->offset_size, &tree) || !rt_h5_take(&c, h->offset_size, &heap)) {
        return rt_h5_malformed(h, group->path, "its symbol table");
    }
    retort_status status = read_heap(h, group->path, heap, &item.names);
    item.address = tree;
    return status == RETORT_OK ? rt_h5_push(h, &item) : status;
}

/* Mark, kind (0: a group's), level, number of children, two neighbours; then keys and children in turn. */
retort_status rt_h5_read_tree(rt_h5 *h, const rt_h5_item *item) {
    rt_cursor c;
    const size_t address_size = (size_t)h->offset_size, key_size = (size_t)h->length_size;
    retort_status status =
        rt_h5_view(h, item->path, "a tree's node", item->address, 8 + 2 * address_size, &c);
    if (status != RETORT_OK) return status;
    if (!is_marked(&c, "TREE") || c.at[0] != 0 || c.at[1] >= item->level) {
        return rt_h5_malformed(h, item->path, "a node of its tree");
    }
    unsigned level = c.at[1];
    size_t children = c.at[2] | (size_t)c.at[3] << 8;
    status = rt_h5_view(h, item->path, "a tree's node", item->address + 8 + 2 * address_size,
                        children * (key_size + address_size), &c);
    for (size_t i = 0; i < children && status == RETORT_OK; i++) {
        rt_h5_item child = {.kind = level > 0 ? RT_H5_TREE : RT_H5_SYMBOLS,
                            .path = item->path,
                            .names = item->names,
                            .level = level};
        rt_take(&c, key_size);
        rt_h5_take(&c, h->offset_size, &child.address);
        status = rt_h5_push(h, &child);
    }
    return status;
}

/* A symbol: place of its name, address, what is cached of it, which also tells soft links. */
static retort_status read_symbol(rt_h5 *h, const rt_h5_item *item, rt_cursor *c) {
    uint64_t place = 0, address = 0;
    uint32_t cached = 0;
    rt_h5_take(c, h->offset_size, &place);
    rt_h5_take(c, h->offset_size, &address);
    rt_take_u32(c, &cached);
    rt_take(c, SYMBOL_EXTRA - sizeof cached);
    rt_cursor name = item->names;
    if (place > rt_cursor_left(&name)) return rt_h5_malformed(h, item->path, "a member's name");
    name.at += place;
    const uint8_t *end = memchr(name.at, '\0', rt_cursor_left(&name));
    if (end == NULL) return rt_h5_malformed(h, item->path, "a member's name");
    if (cached == CACHED_LINK) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, item->path,
                          "'%.64s' is a soft link; only hard links are read", (const char *)name.at);
    }
    return rt_h5_push_child(h, item->path, name.at, (size_t)(end - name.at), address);
}

/* Mark, version, a byte, number of symbols. */
retort_status rt_h5_read_symbols(rt_h5 *h, const rt_h5_item *item) {
    rt_cursor c;
    retort_status status = rt_h5_view(h, item->path, "a symbol table's node", item->address, 8, &c);
    if (status != RETORT_OK) return status;
    if (!is_marked(&c, "SNOD") || c.at[0] != 1)
        return rt_h5_malformed(h, item->path, "a node of its symbol table");
    size_t count = c.at[2] | (size_t)c.at[3] << 8;
    status = rt_h5_view(h, item->path, "a symbol table's node", item->address + 8,
                        count * (2 * (size_t)h->offset_size + SYMBOL_EXTRA), &c);
    for (size_t i = 0; i < count && status == RETORT_OK; i++) status = read_symbol(h, item, &c);
    return status;
}

/* ---- Links ---- */

/* Version, flags; by the flags a kind, an order of creation, a character set; size and text of the name; of a
 * hard link the address. */
retort_status rt_h5_read_link(rt_h5 *h, const char *group, rt_cursor body) {
    uint64_t length, address;
    uint8_t kind = HARD;
    const uint8_t *fields = rt_take(&body, 2), *name = NULL;
    if (fields == NULL || fields[0] != 1) return rt_h5_malformed(h, group, "a link");
    uint8_t flags = fields[1];
    bool fine = (flags & 8) == 0 || rt_take_u8(&body, &kind);
    fine = fine && ((flags & 4) == 0 || rt_take(&body, 8) != NULL);
    fine = fine && ((flags & 16) == 0 || rt_take(&body, 1) != NULL);
    fine = fine && rt_h5_take(&body, 1 << (flags & 3), &length) && length <= rt_cursor_left(&body);
    if (fine) name = rt_take(&body, (size_t)length);
    if (name == NULL) return rt_h5_malformed(h, group, "a link");
    if (kind != HARD) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, group, "'%.*s' is %s link; only hard links are read",
                          (int)(length < 64 ? length : 64), (const char *)name,
                          kind == SOFT       ? "a soft"
                          : kind == EXTERNAL ? "an external"
                                             : "a user-defined");
    }
    if (!rt_h5_take(&body, h->offset_size, &address)) return rt_h5_malformed(h, group, "a link");
    return rt_h5_push_child(h, group, name, (size_t)length, address);
}
