/* SPDX-License-Identifier: Apache-2.0
 * Groups of version 1.8 and later with more than eight members keep their links in a fractal heap, indexed
 * by a B-tree of version 2 (sections III.A.2 and III.G of the specification). One leaf of that tree holds 45
 * links, more than the groups of an encoder have, so deeper trees, and heaps deeper than one table, are
 * refused. */
#include "format/hdf5.h"

#include <inttypes.h>

typedef struct heap {
    uint64_t start, largest; /* bytes of the first and of the largest direct block */
    uint64_t root;           /* address of its one block, or of the table of its blocks */
    uint16_t width, rows;    /* blocks of a row; rows of the table, 0 without one */
    int offset_bytes, length_bytes;
    rt_cursor table; /* the blocks' addresses, row by row; empty when there is one block only */
} heap;

static int bytes_for(uint64_t limit) {
    int bytes = 1;
    while (bytes < 8 && limit >> (8 * bytes) != 0) bytes++;
    return bytes;
}

static bool is_power_of_two(uint64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}

/* Mark, version, bytes of an id and of filters, flags, largest object, twelve numbers, then the table's
 * shape. */
static retort_status read_heap(rt_h5 *h, const char *path, uint64_t address, heap *out) {
    const size_t o = (size_t)h->offset_size, l = (size_t)h->length_size;
    rt_cursor c;
    uint16_t id_bytes = 0, filters = 0, bits = 0, first_rows = 0;
    uint32_t largest_object = 0;
    retort_status status = rt_h5_view(h, path, "a fractal heap", address, 22 + 12 * l + 3 * o, &c);
    if (status != RETORT_OK) return status;
    const uint8_t *mark = rt_take(&c, 5);
    rt_take_u16(&c, &id_bytes);
    rt_take_u16(&c, &filters);
    rt_take(&c, 1);
    rt_take_u32(&c, &largest_object);
    rt_take(&c, 10 * l + 2 * o);
    rt_take_u16(&c, &out->width);
    rt_h5_take(&c, h->length_size, &out->start);
    rt_h5_take(&c, h->length_size, &out->largest);
    rt_take_u16(&c, &bits);
    rt_take_u16(&c, &first_rows);
    rt_h5_take(&c, h->offset_size, &out->root);
    rt_take_u16(&c, &out->rows);
    if (memcmp(mark, "FRHP", 5) != 0 || bits == 0 || bits > 64 || !is_power_of_two(out->start) ||
        !is_power_of_two(out->largest) || out->largest < out->start || out->width == 0) {
        return rt_h5_malformed(h, path, "its fractal heap");
    }
    if (filters != 0) return rt_h5_fail(h, RETORT_UNSUPPORTED, path, "its links are packed by filters");
    out->offset_bytes = (bits + 7) / 8;
    /* HDF5 uses the shorter of the two encodings of the length of an object. */
    int by_block = bytes_for(out->largest - 1), by_object = bytes_for(largest_object);
    out->length_bytes = by_block < by_object ? by_block : by_object;
    if (id_bytes >= 1 + out->offset_bytes + out->length_bytes) return RETORT_OK;
    return rt_h5_malformed(h, path, "its fractal heap");
}

/* Mark, version, the heap's address, the block's place in the heap; then the blocks' addresses. */
static retort_status read_table(rt_h5 *h, const char *path, heap *in) {
    const size_t prefix = 5 + (size_t)h->offset_size + (size_t)in->offset_bytes;
    if (in->rows == 0) return RETORT_OK;
    uint64_t size = in->rows < 2 ? in->start : in->rows > 40 ? UINT64_MAX : in->start << (in->rows - 2);
    if (size > in->largest) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, path, "a fractal heap of more than one table of blocks");
    }
    retort_status status =
        rt_h5_view(h, path, "a heap's table", in->root,
                   prefix + (size_t)in->rows * in->width * (size_t)h->offset_size, &in->table);
    if (status != RETORT_OK) return status;
    const uint8_t *mark = rt_take(&in->table, prefix);
    return memcmp(mark, "FHIB", 4) == 0 ? RETORT_OK : rt_h5_malformed(h, path, "its heap's table");
}

/* The start of the block with byte `offset` of the heap, and the bytes that follow that byte in the block. */
static bool find_block(const rt_h5 *h, const heap *in, uint64_t offset, uint64_t *address, uint64_t *left) {
    uint64_t size = in->start;
    if (in->rows == 0) {
        if (offset >= size || in->root > h->size) return false;
        *address = in->root + offset;
        *left = size - offset;
        return *address >= offset;
    }
    for (size_t row = 0; row < in->rows; row++) { /* 40 at most */
        size = row < 2 ? in->start : in->start << (row - 1);
        if (size == 0) return false; /* beyond 64 bits */
        uint64_t column = offset / size;
        if (column >= in->width) {
            offset -= in->width * size;
            continue;
        }
        offset %= size;
        rt_cursor table = in->table;
        rt_take(&table, (row * in->width + (size_t)column) * (size_t)h->offset_size);
        if (!rt_h5_take(&table, h->offset_size, address)) return false;
        *left = size - offset;
        *address += offset;
        return *address >= offset && *address <= h->size;
    }
    return false;
}

/* A record: the name's hash, then the link's id in the heap: a byte (0: an object in a block),
 * place, length. */
static retort_status read_record(rt_h5 *h, const char *path, const heap *in, rt_cursor c) {
    uint64_t offset = 0, length = 0, address = 0, left = 0;
    rt_cursor link;
    const uint8_t *fields = rt_take(&c, 5);
    if (fields == NULL || !rt_h5_take(&c, in->offset_bytes, &offset) ||
        !rt_h5_take(&c, in->length_bytes, &length) || fields[4] != 0 ||
        !find_block(h, in, offset, &address, &left) || length > left) {
        return rt_h5_malformed(h, path, "a link's place in its heap");
    }
    retort_status status = rt_h5_view(h, path, "a link", address, length, &link);
    return status == RETORT_OK ? rt_h5_read_link(h, path, link) : status;
}

/* The tree's head: mark, version, kind (5: links by name), bytes of a node and of a record, depth, two
 * shares, the root's address and number of records. */
static retort_status read_leaf(rt_h5 *h, const char *path, uint64_t tree, const heap *in) {
    rt_cursor c;
    uint32_t node_size = 0;
    uint16_t record_size = 0, depth = 0, records = 0;
    uint64_t root = 0;
    retort_status status = rt_h5_view(h, path, "a tree's head", tree, 18 + (size_t)h->offset_size, &c);
    if (status != RETORT_OK) return status;
    const uint8_t *mark = rt_take(&c, 6);
    rt_take_u32(&c, &node_size);
    rt_take_u16(&c, &record_size);
    rt_take_u16(&c, &depth);
    rt_take(&c, 2);
    rt_h5_take(&c, h->offset_size, &root);
    rt_take_u16(&c, &records);
    if (memcmp(mark, "BTHD\0\5", 6) != 0) return rt_h5_malformed(h, path, "its tree's head");
    if (depth != 0) {
        return rt_h5_fail(h, RETORT_UNSUPPORTED, path, "a group of this many members is not supported");
    }
    if (records == 0) return RETORT_OK;
    status = rt_h5_view(h, path, "a tree's leaf", root, 6 + (size_t)records * record_size, &c);
    if (status != RETORT_OK) return status;
    if (memcmp(rt_take(&c, 6), "BTLF\0\5", 6) != 0) return rt_h5_malformed(h, path, "its tree's leaf");
    for (size_t i = 0; i < records && status == RETORT_OK; i++) {
        status = read_record(h, path, in, rt_cursor_make(rt_take(&c, record_size), record_size));
    }
    return status;
}

/* Version, flags; by the flags a number; the heap's and the tree's addresses, undefined when the links are
 * all in the header. */
retort_status rt_h5_read_links(rt_h5 *h, const rt_h5_object *group) {
    rt_cursor c = group->body[RT_H5_LINKS];
    uint64_t heap_at, tree_at;
    heap in = {0};
    const uint8_t *fields = rt_take(&c, 2);
    if (fields == NULL || ((fields[1] & 1) != 0 && rt_take(&c, 8) == NULL) ||
        !rt_h5_take(&c, h->offset_size, &heap_at) || !rt_h5_take(&c, h->offset_size, &tree_at)) {
        return rt_h5_malformed(h, group->path, "its link info");
    }
    if (rt_h5_undefined(h, heap_at)) return RETORT_OK;
    retort_status status = read_heap(h, group->path, heap_at, &in);
    if (status == RETORT_OK) status = read_table(h, group->path, &in);
    return status == RETORT_OK ? read_leaf(h, group->path, tree_at, &in) : status;
}
