/* SPDX-License-Identifier: Apache-2.0 */
#include "format/hdf5.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t SIGNATURE[] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

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
