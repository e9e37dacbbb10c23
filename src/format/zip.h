/* SPDX-License-Identifier: Apache-2.0
 * Zip archives as written by torch.save: stored (method 0), not encrypted, zip64 allowed. */
#ifndef RT_FORMAT_ZIP_H
#define RT_FORMAT_ZIP_H

#include "base/error.h"
#include "base/memory.h"

typedef struct rt_zip_entry {
    const char *name;
    const uint8_t *data; /* points into the archive */
    size_t size;
} rt_zip_entry;
typedef struct rt_zip {
    rt_zip_entry *entries; /* sorted by name, names unique */
    size_t count;
} rt_zip;

/* *out lives in `arena`. `name` starts error texts. */
retort_status rt_zip_read(rt_zip *out, rt_arena *arena, const char *name, const uint8_t *data, size_t size,
                          retort_error *err);
/* Or NULL. */
const rt_zip_entry *rt_zip_find(const rt_zip *zip, const char *name);

#endif
