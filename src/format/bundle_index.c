/* SPDX-License-Identifier: Apache-2.0
 * The index of a tensor bundle: a table as tensorflow/core/lib/io/table_format.txt has it. */
#include "format/bundle.h"

#include <inttypes.h>
#include <stdlib.h>

enum { FOOTER = 48, MAGIC = 8, TRAILER = 5 };
static const uint64_t TABLE_MAGIC = 0xdb4775248b80fb57u;

typedef struct table {
    rt_bundle *out;
    const char *name;
    const uint8_t *data;
    size_t size;
    char key[RT_MAX_TENSOR_NAME + 1]; /* of the newest entry */
    size_t entries;
    size_t unread; /* bytes that blocks may still take: they share none */
    retort_error *err;
} table;

static retort_status bad(const table *t, const char *what) {
    return rt_fail(t->err, RETORT_FORMAT, "%s: TensorFlow checkpoint: %s", t->name, what);
}

/* A block by its handle, offset and size: entries, then the places where a key is whole and their number
 * (which only a search needs). A byte that tells how it is packed and a CRC follow. */
static retort_status open_block(table *t, rt_cursor *handle, rt_cursor *out) {
    uint64_t offset, size;
    uint32_t crc = 0, restarts;
    size_t limit = t->size - FOOTER;
    if (!rt_bundle_varint(handle, &offset) || !rt_bundle_varint(handle, &size)) {
        return bad(t, "a block's place is malformed");
    }
    if (offset > limit || size > limit - offset || TRAILER > limit - offset - size) {
        return rt_fail(t->err, RETORT_FORMAT,
                       "%s: TensorFlow checkpoint: cut short: a block of %" PRIu64 " bytes at %" PRIu64
                       ", in a file of %zu",
                       t->name, size, offset, t->size);
    }
    if (size + TRAILER > t->unread) return bad(t, "blocks of its index share bytes");
    t->unread -= (size_t)size + TRAILER;
    rt_cursor whole = rt_cursor_make(t->data + offset, (size_t)size + TRAILER);
    *out = rt_cursor_make(rt_take(&whole, (size_t)size), (size_t)size);
    if (whole.at[0] != 0) {
        return rt_fail(t->err, RETORT_UNSUPPORTED,
                       "%s: TensorFlow checkpoint: its index is compressed (type %d)", t->name, whole.at[0]);
    }
    uint32_t found = rt_crc32c(&t->out->crc, 0, out->at, (size_t)size + 1);
    rt_take(&whole, 1);
    rt_take_u32(&whole, &crc);
    if (crc != rt_bundle_mask(found)) return bad(t, "a block of its index does not have its checksum");
    rt_cursor tail = rt_cursor_make(out->end - (size < 4 ? 0 : 4), size < 4 ? 0 : 4);
    if (!rt_take_u32(&tail, &restarts) || restarts > (size - 4) / 4) return bad(t, "a block is malformed");
    out->end -= 4 + 4 * (size_t)restarts;
    return RETORT_OK;
}

/* The next entry: bytes shared with the key before, bytes more, bytes of the value. *key becomes the whole
 * key, with a NUL. */
static bool next_entry(rt_cursor *block, char *key, size_t *length, rt_cursor *value) {
    uint64_t shared, more, size;
    if (!rt_bundle_varint(block, &shared) || !rt_bundle_varint(block, &more) ||
        !rt_bundle_varint(block, &size))
        return false;
    if (shared > *length || more > RT_MAX_TENSOR_NAME - shared || size > rt_cursor_left(block)) return false;
    const uint8_t *rest = rt_take(block, (size_t)more);
    const uint8_t *bytes = rest == NULL ? NULL : rt_take(block, (size_t)size);
    if (bytes == NULL) return false;
    memcpy(key + shared, rest, (size_t)more);
    *length = (size_t)(shared + more);
    key[*length] = '\0';
    *value = rt_cursor_make(bytes, (size_t)size);
    return memchr(key, '\0', *length) == NULL;
}

static retort_status take_entry(table *t, const char *key, rt_cursor value) {
    rt_bundle *out = t->out;
    if (t->entries > 0 && strcmp(key, t->key) <= 0) {
        return rt_fail(t->err, RETORT_FORMAT, "%s: tensor '%s' is out of order or appears twice", t->name,
                       key);
    }
    memcpy(t->key, key, strlen(key) + 1);
    if (t->entries++ == 0) {
        if (key[0] != '\0') return bad(t, "its index does not begin with a header");
        return rt_bundle_header(out, t->name, value, t->err);
    }
    if (!rt_grow((void **)&out->entries, &out->capacity, out->count + 1, sizeof *out->entries)) {
        return rt_fail_nomem(t->err, (out->count + 1) * sizeof *out->entries);
    }
    rt_bundle_entry *entry = &out->entries[out->count++];
    retort_status status = rt_bundle_entry_read(entry, t->name, key, value, t->err);
    if (status != RETORT_OK) return status;
    entry->tensor.name = rt_arena_text(&out->arena, key, strlen(key));
    return entry->tensor.name == NULL ? rt_fail_nomem(t->err, strlen(key)) : RETORT_OK;
}

static retort_status read_block(table *t, rt_cursor block) {
    char key[RT_MAX_TENSOR_NAME + 1];
    size_t length = 0;
    retort_status status = RETORT_OK;
    while (rt_cursor_left(&block) > 0 && status == RETORT_OK) {
        rt_cursor value;
        if (!next_entry(&block, key, &length, &value)) return bad(t, "an entry of its index is malformed");
        status = take_entry(t, key, value);
    }
    return status;
}

/* The index of the index: a handle for each block of entries. */
static retort_status read_blocks(table *t, rt_cursor blocks) {
    char key[RT_MAX_TENSOR_NAME + 1];
    size_t length = 0;
    retort_status status = RETORT_OK;
    while (rt_cursor_left(&blocks) > 0 && status == RETORT_OK) {
        rt_cursor handle, block = {0};
        size_t before = t->entries;
        if (!next_entry(&blocks, key, &length, &handle)) return bad(t, "its list of blocks is malformed");
        status = open_block(t, &handle, &block);
        if (status == RETORT_OK) status = read_block(t, block);
        /* An empty block costs work and brings nothing: a list of them would be as long as the file. */
        if (status == RETORT_OK && t->entries == before) return bad(t, "a block without entries");
    }
    return status;
}

/* An offset and a size. */
static bool skip_handle(rt_cursor *from) {
    uint64_t unused;
    for (int i = 0; i < 2; i++) {
        if (!rt_bundle_varint(from, &unused)) return false;
    }
    return true;
}

retort_status rt_bundle_read(rt_bundle *out, const char *name, const uint8_t *index, size_t size,
                             retort_error *err) {
    table t = {.out = out, .name = name, .data = index, .size = size, .unread = size, .err = err};
    uint64_t magic = 0;
    rt_cursor blocks = {0};
    *out = (rt_bundle){0};
    rt_crc32c_make(&out->crc);
    if (size < FOOTER) return bad(&t, "its index is cut short");
    rt_cursor footer = rt_cursor_make(index + size - FOOTER, FOOTER - MAGIC);
    rt_cursor end = rt_cursor_make(index + size - MAGIC, MAGIC);
    rt_take_u64(&end, &magic);
    if (magic != TABLE_MAGIC) return bad(&t, "its index does not end with the mark of a table: cut short?");
    if (!skip_handle(&footer)) return bad(&t, "its index's footer is malformed");
    retort_status status = open_block(&t, &footer, &blocks);
    if (status == RETORT_OK) status = read_blocks(&t, blocks);
    if (status == RETORT_OK && out->count == 0) return bad(&t, "no tensors in it");
    return status;
}

void rt_bundle_close(rt_bundle *bundle) {
    free(bundle->entries);
    rt_arena_free(&bundle->arena);
    *bundle = (rt_bundle){0};
}
