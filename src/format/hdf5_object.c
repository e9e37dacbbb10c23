/* SPDX-License-Identifier: Apache-2.0
 * Object headers (section IV.A of the specification). Checksums are not compared; the checks of the
 * decoded fields find wrong bits. */
#include "format/hdf5.h"

#include <inttypes.h>

enum { LINK = 0x06, CONTINUATION = 0x10, SHARED = 2, MAX_CHUNKS = 64 };
enum { NEW_PREFIX = 6, OLD_PREFIX = 16 };

/* Type number of each message that is kept. */
static const uint8_t message_types[RT_H5_MESSAGES] = {
    [RT_H5_SPACE] = 0x01,  [RT_H5_LINKS] = 0x02,   [RT_H5_TYPE] = 0x03,  [RT_H5_EXTERNAL] = 0x07,
    [RT_H5_LAYOUT] = 0x08, [RT_H5_FILTERS] = 0x0b, [RT_H5_TABLE] = 0x11,
};

/* A header is a chain of chunks. */
typedef struct header {
    rt_h5 *h;
    rt_h5_object *out;
    bool old, tracked; /* version 1; version 2 with the order of creation in each message */
    rt_cursor chunks[MAX_CHUNKS];
    size_t count;
} header;

static retort_status add_chunk(header *in, uint64_t address, uint64_t length) {
    rt_cursor chunk;
    if (in->count == MAX_CHUNKS) {
        return rt_h5_fail(in->h, RETORT_LIMIT, in->out->path, "a header in more than %d pieces", MAX_CHUNKS);
    }
    retort_status status = rt_h5_view(in->h, in->out->path, "a header", address, length, &chunk);
    if (status == RETORT_OK) in->chunks[in->count++] = chunk;
    return status;
}

static retort_status continue_at(header *in, rt_cursor body) {
    uint64_t address, length;
    uint32_t checksum;
    if (!rt_h5_take(&body, in->h->offset_size, &address) || !rt_h5_take(&body, in->h->length_size, &length)) {
        return rt_h5_fail(in->h, RETORT_FORMAT, in->out->path, "a header's continuation is cut short");
    }
    retort_status status = add_chunk(in, address, length);
    if (status != RETORT_OK || in->old) return status;
    rt_cursor *chunk = &in->chunks[in->count - 1];
    const uint8_t *magic = rt_take(chunk, 4);
    if (magic == NULL || memcmp(magic, "OCHK", 4) != 0 || rt_cursor_left(chunk) < sizeof checksum) {
        return rt_h5_fail(in->h, RETORT_FORMAT, in->out->path, "a header's continuation without its mark");
    }
    chunk->end -= sizeof checksum;
    return RETORT_OK;
}

static retort_status take_message(header *in, unsigned type, unsigned flags, rt_cursor body) {
    if (type == CONTINUATION) return continue_at(in, body);
    if (type == LINK) return rt_h5_read_link(in->h, in->out->path, body);
    for (size_t i = 0; i < RT_H5_MESSAGES; i++) {
        if (message_types[i] != type) continue;
        if (in->out->has[i]) {
            return rt_h5_fail(in->h, RETORT_FORMAT, in->out->path, "message %u appears twice", type);
        }
        if ((flags & SHARED) != 0) {
            return rt_h5_fail(in->h, RETORT_UNSUPPORTED, in->out->path,
                              "message %u is shared with other objects; shared types are not supported",
                              type);
        }
        in->out->has[i] = true;
        in->out->body[i] = body;
    }
    return RETORT_OK;
}

/* What stands before a message's body. Version 1: type of 16 bits, size, flags, three bytes; version 2: type
 * of 8 bits, size, flags, and where it is tracked the order of creation. */
static size_t prefix_size(const header *in) {
    return in->old ? 8 : in->tracked ? 6 : 4;
}

static retort_status read_messages(header *in, rt_cursor c) {
    while (rt_cursor_left(&c) >= prefix_size(in)) { /* less is a gap */
        const uint8_t *prefix = rt_take(&c, prefix_size(in)), *rest = prefix + (in->old ? 2 : 1);
        unsigned type = in->old ? prefix[0] | (unsigned)prefix[1] << 8 : prefix[0];
        size_t size = rest[0] | (size_t)rest[1] << 8;
        const uint8_t *body = rt_take(&c, size);
        if (body == NULL) {
            return rt_h5_fail(in->h, RETORT_FORMAT, in->out->path,
                              "message %u of its header: expected %zu bytes, found %zu", type, size,
                              rt_cursor_left(&c));
        }
        retort_status status = take_message(in, type, rest[2], rt_cursor_make(body, size));
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

/* Version 1: version, a byte, number of messages, references, size; aligned to 8. */
static retort_status open_old(header *in, rt_cursor prefix, uint64_t address) {
    uint32_t references, size;
    if (rt_take(&prefix, 4) == NULL || !rt_take_u32(&prefix, &references) || !rt_take_u32(&prefix, &size)) {
        return rt_h5_fail(in->h, RETORT_FORMAT, in->out->path, "its header is cut short");
    }
    return add_chunk(in, address + OLD_PREFIX, size);
}

/* Version 2: mark, version, flags, then by the flags four times, two numbers of attributes, and the size of
 * the first chunk, which a checksum follows. */
static retort_status open_new(header *in, rt_cursor prefix, uint64_t address) {
    uint64_t size = 0;
    uint8_t flags = prefix.at[5];
    size_t skipped = (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0);
    int width = 1 << (flags & 3);
    rt_cursor rest;
    in->tracked = (flags & 4) != 0;
    retort_status status =
        rt_h5_view(in->h, in->out->path, "a header", address + NEW_PREFIX, skipped + (size_t)width, &rest);
    if (status != RETORT_OK) return status;
    rt_take(&rest, skipped);
    rt_h5_take(&rest, width, &size);
    return add_chunk(in, address + NEW_PREFIX + skipped + (size_t)width, size);
}

retort_status rt_h5_read_object(rt_h5 *h, const char *path, uint64_t address, rt_h5_object *out) {
    header in = {.h = h, .out = out};
    rt_cursor prefix;
    *out = (rt_h5_object){.path = path};
    retort_status status = rt_h5_view(h, path, "a header", address, NEW_PREFIX, &prefix);
    if (status != RETORT_OK) return status;
    in.old = prefix.at[0] == 1;
    if (in.old) {
        status = rt_h5_view(h, path, "a header", address + NEW_PREFIX, OLD_PREFIX - NEW_PREFIX, &prefix);
        prefix.at -= NEW_PREFIX;
        if (status == RETORT_OK) status = open_old(&in, prefix, address);
    } else if (memcmp(prefix.at, "OHDR\2", 5) == 0) {
        status = open_new(&in, prefix, address);
    } else {
        status = rt_h5_fail(h, RETORT_FORMAT, path, "no object's header at %" PRIu64, address);
    }
    for (size_t i = 0; i < in.count && status == RETORT_OK; i++) status = read_messages(&in, in.chunks[i]);
    return status;
}
