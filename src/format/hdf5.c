/* SPDX-License-Identifier: Apache-2.0 */
#include "format/hdf5.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t SIGNATURE[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

retort_status rt_h5_fail(const rt_h5 *h, retort_status status, const char *path, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rt_fail(h->err, status, "%s: '/%.200s': %s", h->name, path, text);
}

retort_status rt_h5_view(rt_h5 *h, const char *path, const char *what, uint64_t address, uint64_t length,
                         rt_cursor *out) {
    if (address > h->size || length > h->size - address) {
        return rt_h5_fail(h, RETORT_FORMAT, path,
                          "cut short: %s of %" PRIu64 " bytes at %" PRIu64 ", in a file of %zu", what, length,
                          address, h->size);
    }
    if (length > h->unread) {
        return rt_h5_fail(h, RETORT_FORMAT, path,
                          "%s at %" PRIu64 ": parts of the file are used twice: links that form a circle",
                          what, address);
    }
    h->unread -= (size_t)length;
    *out = rt_cursor_make(h->data + address, (size_t)length);
    return RETORT_OK;
}

bool rt_h5_take(rt_cursor *c, int bytes, uint64_t *out) {
    const uint8_t *p = rt_take(c, (size_t)bytes);
    if (p == NULL) return false;
    *out = 0;
    for (int i = bytes; i-- > 0;) *out = *out << 8 | p[i];
    return true;
}

bool rt_h5_undefined(const rt_h5 *h, uint64_t address) {
    return address == UINT64_MAX >> (64 - 8 * h->offset_size);
}

retort_status rt_h5_push(rt_h5 *h, const rt_h5_item *item) {
    if (!rt_grow((void **)&h->items, &h->item_capacity, h->item_count + 1, sizeof *h->items)) {
        return rt_fail_nomem(h->err, (h->item_count + 1) * sizeof *h->items);
    }
    h->items[h->item_count++] = *item;
    return RETORT_OK;
}

retort_status rt_h5_push_child(rt_h5 *h, const char *group, const void *name, size_t length,
                               uint64_t address) {
    size_t before = strlen(group), slash = before > 0;
    if (length == 0 || length > RT_MAX_TENSOR_NAME || before + slash + length > RT_MAX_TENSOR_NAME) {
        return rt_h5_fail(h, RETORT_LIMIT, group,
                          "a member's name of %zu bytes; expected 1 to %d with its groups' names", length,
                          RT_MAX_TENSOR_NAME);
    }
    if (memchr(name, '\0', length) != NULL) {
        return rt_h5_fail(h, RETORT_FORMAT, group, "a member's name holds a zero byte");
    }
    size_t size = before + slash + length + 1;
    char *path = rt_arena_calloc(&h->arena, size, 1);
    if (path == NULL) return rt_fail_nomem(h->err, size);
    snprintf(path, size, "%s%s%.*s", group, slash ? "/" : "", (int)length, (const char *)name);
    return rt_h5_push(h, &(rt_h5_item){.kind = RT_H5_OBJECT, .path = path, .address = address});
}

/* ---- The superblock ---- */

static retort_status bad_superblock(const rt_h5 *h, const char *what) {
    return rt_fail(h->err, RETORT_FORMAT, "%s: HDF5: %s", h->name, what);
}

static bool valid_size(int size) {
    return size == 2 || size == 4 || size == 8;
}

/* Where the fields stand that differ between the versions: after the version's byte, the sizes and the first
 * address. */
static const struct { size_t sizes, addresses; } layouts[] = {{4, 15}, {4, 19}, {0, 3}, {0, 3}};
enum { VERSIONS = sizeof layouts / sizeof *layouts };

/* Up to the root group's address. */
static retort_status read_superblock(rt_h5 *h, uint64_t *root) {
    uint64_t base, other, end, last;
    rt_cursor c = rt_cursor_make(h->data, h->size);
    if (rt_take(&c, sizeof SIGNATURE + 1) == NULL) return bad_superblock(h, "cut short");
    uint8_t version = h->data[sizeof SIGNATURE];
    if (version >= VERSIONS) return bad_superblock(h, "a superblock of a version above 3");
    const uint8_t *fields = rt_take(&c, layouts[version].addresses);
    if (fields == NULL) return bad_superblock(h, "cut short");
    h->offset_size = fields[layouts[version].sizes];
    h->length_size = fields[layouts[version].sizes + 1];
    if (!valid_size(h->offset_size) || !valid_size(h->length_size)) {
        return bad_superblock(h, "addresses or lengths of other than 2, 4 or 8 bytes");
    }
    if (!rt_h5_take(&c, h->offset_size, &base) || !rt_h5_take(&c, h->offset_size, &other) ||
        !rt_h5_take(&c, h->offset_size, &end) || !rt_h5_take(&c, h->offset_size, &last)) {
        return bad_superblock(h, "cut short");
    }
    if (base != 0) return bad_superblock(h, "a user block before the data");
    if (end > h->size) {
        return rt_fail(h->err, RETORT_FORMAT, "%s: cut short: expected %" PRIu64 " bytes, found %zu", h->name,
                       end, h->size);
    }
    *root = last; /* of versions 0 and 1 the driver's address: the root's entry follows, its name first */
    if (version < 2 && (!rt_h5_take(&c, h->offset_size, &other) || !rt_h5_take(&c, h->offset_size, root))) {
        return bad_superblock(h, "cut short");
    }
    h->size = (size_t)end;
    h->unread = h->size;
    return RETORT_OK;
}

/* ---- Objects ---- */

static retort_status read_object(rt_h5 *h, const rt_h5_item *item) {
    rt_h5_object object;
    size_t before = h->item_count;
    retort_status status = rt_h5_read_object(h, item->path, item->address, &object);
    if (status != RETORT_OK) return status;
    if (object.has[RT_H5_SPACE] || object.has[RT_H5_LAYOUT]) return rt_h5_read_dataset(h, &object);
    if (object.has[RT_H5_TABLE]) return rt_h5_read_table(h, &object);
    if (object.has[RT_H5_LINKS]) return rt_h5_read_links(h, &object);
    if (h->item_count > before) return RETORT_OK;
    return rt_h5_fail(h, RETORT_UNSUPPORTED, item->path, "expected a group or a dataset, found %s",
                      object.has[RT_H5_TYPE] ? "a named type" : "neither");
}

typedef retort_status (*item_reader)(rt_h5 *h, const rt_h5_item *item);
static const item_reader readers[] = {
    [RT_H5_OBJECT] = read_object,
    [RT_H5_TREE] = rt_h5_read_tree,
    [RT_H5_SYMBOLS] = rt_h5_read_symbols,
};

static retort_status read_file(rt_h5 *h) {
    uint64_t root = 0;
    retort_status status = read_superblock(h, &root);
    if (status == RETORT_OK) {
        status = rt_h5_push(h, &(rt_h5_item){.kind = RT_H5_OBJECT, .path = "", .address = root});
    }
    for (size_t i = 0; i < h->item_count && status == RETORT_OK; i++) {
        rt_h5_item item = h->items[i]; /* a copy: the queue moves when it grows */
        status = readers[item.kind](h, &item);
    }
    if (status != RETORT_OK || h->out->count > 0) return status;
    return rt_fail(h->err, RETORT_FORMAT, "%s: HDF5: no dataset in it", h->name);
}

bool rt_hdf5_probe(const uint8_t *data, size_t size) {
    return size >= 6 && memcmp(data, SIGNATURE, 6) == 0;
}

retort_status rt_hdf5_read(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                           retort_error *err) {
    rt_h5 h = {.out = out, .name = name, .data = data, .size = size, .err = err};
    retort_status status = read_file(&h);
    out->naming = RT_NAMES_KERAS;
    free(h.items);
    rt_arena_free(&h.arena);
    return status;
}

retort_status rt_hdf5_parse(rt_tensors *out, const char *name, const uint8_t *data, size_t size,
                            retort_error *err) {
    static const rt_format format = {"hdf5", rt_hdf5_probe, rt_hdf5_read, NULL};
    return rt_tensors_parse(out, &format, name, data, size, err);
}
