/* SPDX-License-Identifier: Apache-2.0
 * TensorFlow checkpoints ("tensor bundles"): PREFIX.index, a sorted table in LevelDB format, has the place
 * of each tensor in the files PREFIX.data-00000-of-0000N. */
#ifndef RT_FORMAT_BUNDLE_H
#define RT_FORMAT_BUNDLE_H

#include "base/cursor.h"
#include "format/crc32c.h"
#include "format/format.h"

/* The place of a tensor. */
typedef struct rt_bundle_entry {
    rt_tensor tensor; /* without data */
    uint64_t shard, offset, size;
    uint32_t crc; /* masked CRC-32C of its bytes */
} rt_bundle_entry;
typedef struct rt_bundle {
    rt_bundle_entry *entries;
    size_t count, capacity;
    uint64_t shards; /* number of files, 1 to RT_BUNDLE_SHARDS */
    rt_arena arena;
    rt_crc32c_table crc;
} rt_bundle;
enum { RT_BUNDLE_SHARDS = 1000 };

/* Reads an index file. Close *out even after a failure. `name` starts error texts. */
retort_status rt_bundle_read(rt_bundle *out, const char *name, const uint8_t *index, size_t size,
                             retort_error *err);
/* Adds the tensors; their bytes are in shards[0…bundle->shards). */
retort_status rt_bundle_tensors(rt_tensors *out, const rt_bundle *bundle, const char *name,
                                const rt_map *shards, retort_error *err);
void rt_bundle_close(rt_bundle *bundle);

/* The values of the table: the header, under an empty key, and an entry. */
retort_status rt_bundle_header(rt_bundle *out, const char *name, rt_cursor value, retort_error *err);
retort_status rt_bundle_entry_read(rt_bundle_entry *out, const char *name, const char *key, rt_cursor value,
                                   retort_error *err);
/* A varint: 7 bits per byte, lowest first. */
bool rt_bundle_varint(rt_cursor *c, uint64_t *out);
/* Stored CRCs are "masked", since the CRC of data that contains CRCs is problematic. */
static inline uint32_t rt_bundle_mask(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Opens a checkpoint by its index file, or by the file "checkpoint", which names the newest in its folder. */
retort_status rt_bundle_open(rt_tensors *out, const char *path, retort_error *err);
retort_status rt_bundle_open_newest(rt_tensors *out, const char *path, retort_error *err);

#endif
