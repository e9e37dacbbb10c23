/* SPDX-License-Identifier: Apache-2.0
 * APPNOTE.TXT 6.3.10, sections 4.3 and 4.4. Only the central directory is believed: torch leaves sizes and
 * CRCs of local headers zero (flag 8). Checksums are not compared; a wrong bit is found by the checks of what
 * it encodes. */
#include "format/zip.h"
#include "base/cursor.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { END_SIZE = 22, END64_SIZE = 56, LOCATOR_SIZE = 20, CENTRAL_SIZE = 46 };
enum { END_MAGIC = 0x06054b50, END64_MAGIC = 0x06064b50, LOCATOR_MAGIC = 0x07064b50 };
enum { CENTRAL_MAGIC = 0x02014b50, LOCAL_MAGIC = 0x04034b50 };
/* Flag bits 0, 6 and 13: some form of encryption. */
enum { ENCRYPTED = 0x2041, ZIP64_EXTRA = 1, MAX_ENTRIES = 200000, MAX_NAME = 512 };
static const uint32_t IN_ZIP64 = 0xffffffff; /* "see the zip64 field" */

typedef struct record {
    rt_zip_entry entry;
    uint64_t header, end; /* offsets of the local header and of the end of the data */
} record;

typedef struct archive {
    rt_arena *arena;
    const char *name;
    const uint8_t *data;
    size_t size;
    uint64_t count, directory, directory_size;
    retort_error *err;
} archive;

static rt_cursor cursor_at(const archive *a, uint64_t offset) {
    size_t at = offset > a->size ? a->size : (size_t)offset;
    return rt_cursor_make(a->data + at, a->size - at);
}

static retort_status bad(const archive *a, const char *what) {
    return rt_fail(a->err, RETORT_FORMAT, "%s: zip archive: %s", a->name, what);
}

static bool skip(rt_cursor *c, size_t n) {
    return rt_take(c, n) != NULL;
}

static bool take_magic(rt_cursor *c, uint32_t magic) {
    uint32_t found;
    return rt_take_u32(c, &found) && found == magic;
}

/* The zip64 end record, which takes the place of the old one's numbers; *end is moved to where it begins. */
static retort_status read_end64(archive *a, uint64_t locator, uint64_t *end) {
    uint32_t disk, disks, part, directory_disk;
    uint64_t at, length, here;
    rt_cursor c = cursor_at(a, locator);
    if (!skip(&c, 4) || !rt_take_u32(&c, &disk) || !rt_take_u64(&c, &at) || !rt_take_u32(&c, &disks)) {
        return bad(a, "its zip64 locator is cut short");
    }
    if (locator < END64_SIZE || at != locator - END64_SIZE) {
        return bad(a, "its zip64 end record is not right before the locator");
    }
    c = cursor_at(a, at);
    if (!take_magic(&c, END64_MAGIC) || !rt_take_u64(&c, &length) || length != END64_SIZE - 12 ||
        !skip(&c, 4) || !rt_take_u32(&c, &part) || !rt_take_u32(&c, &directory_disk) ||
        !rt_take_u64(&c, &here) || !rt_take_u64(&c, &a->count) || !rt_take_u64(&c, &a->directory_size) ||
        !rt_take_u64(&c, &a->directory)) {
        return bad(a, "its zip64 end record is malformed");
    }
    if (disk != 0 || disks > 1 || part != 0 || directory_disk != 0 || here != a->count) {
        return bad(a, "it is split over several disks");
    }
    *end = at;
    return RETORT_OK;
}

static retort_status read_end(archive *a) {
    uint16_t disk, directory_disk, here, count, comment;
    uint32_t directory_size, directory;
    if (a->size < END_SIZE) return bad(a, "too short");
    uint64_t end = a->size - END_SIZE;
    rt_cursor c = cursor_at(a, end);
    if (!take_magic(&c, END_MAGIC) || !rt_take_u16(&c, &disk) || !rt_take_u16(&c, &directory_disk) ||
        !rt_take_u16(&c, &here) || !rt_take_u16(&c, &count) || !rt_take_u32(&c, &directory_size) ||
        !rt_take_u32(&c, &directory) || !rt_take_u16(&c, &comment) || comment != 0) {
        return bad(a, "no end record in its last 22 bytes: cut short, or something was appended");
    }
    a->count = count;
    a->directory = directory;
    a->directory_size = directory_size;
    rt_cursor locator = cursor_at(a, end < LOCATOR_SIZE ? a->size : end - LOCATOR_SIZE);
    if (take_magic(&locator, LOCATOR_MAGIC)) {
        retort_status status = read_end64(a, end - LOCATOR_SIZE, &end);
        if (status != RETORT_OK) return status;
    } else if (disk != 0 || directory_disk != 0 || here != count) {
        return bad(a, "it is split over several disks");
    }
    if (a->directory > end || a->directory_size != end - a->directory) {
        return bad(a, "its directory does not end where the end record begins");
    }
    if (a->count > MAX_ENTRIES || a->count > a->directory_size / CENTRAL_SIZE) {
        return rt_fail(a->err, RETORT_FORMAT,
                       "%s: zip archive: %" PRIu64 " entries in a directory of %" PRIu64 " bytes", a->name,
                       a->count, a->directory_size);
    }
    return RETORT_OK;
}

/* Replaces the numbers that did not fit 32 bits by those of the zip64 extra field. */
static bool read_extra(rt_cursor c, uint64_t *full, uint64_t *packed, uint64_t *header) {
    uint16_t id, length;
    while (rt_cursor_left(&c) > 0) {
        if (!rt_take_u16(&c, &id) || !rt_take_u16(&c, &length)) return false;
        const uint8_t *field = rt_take(&c, length);
        if (field == NULL) return false;
        if (id != ZIP64_EXTRA) continue;
        rt_cursor wide = rt_cursor_make(field, length);
        return (*full != IN_ZIP64 || rt_take_u64(&wide, full)) &&
               (*packed != IN_ZIP64 || rt_take_u64(&wide, packed)) &&
               (*header != IN_ZIP64 || rt_take_u64(&wide, header));
    }
    return *full != IN_ZIP64 && *packed != IN_ZIP64 && *header != IN_ZIP64;
}

/* Finds the data after the local header, which must carry the same name and be as plain as the
 * central one. */
static retort_status locate(const archive *a, record *r) {
    uint16_t flags, method, name_length, extra_length;
    rt_cursor c = cursor_at(a, r->header);
    bool whole = take_magic(&c, LOCAL_MAGIC) && skip(&c, 2) && rt_take_u16(&c, &flags) &&
                 rt_take_u16(&c, &method) && skip(&c, 16) && rt_take_u16(&c, &name_length) &&
                 rt_take_u16(&c, &extra_length);
    const uint8_t *name = whole ? rt_take(&c, name_length) : NULL;
    if (name == NULL || !skip(&c, extra_length) || r->entry.size > rt_cursor_left(&c)) {
        return rt_fail(a->err, RETORT_FORMAT,
                       "%s: zip archive: '%s' (%zu bytes at %" PRIu64 ") is not inside the file", a->name,
                       r->entry.name, r->entry.size, r->header);
    }
    if (name_length != strlen(r->entry.name) || memcmp(name, r->entry.name, name_length) != 0) {
        return rt_fail(a->err, RETORT_FORMAT, "%s: zip archive: '%s' has another name in its local header",
                       a->name, r->entry.name);
    }
    if (method != 0 || (flags & ENCRYPTED) != 0) return bad(a, "a local header says compressed or encrypted");
    r->entry.data = c.at;
    r->end = (uint64_t)(c.at - a->data) + r->entry.size;
    return RETORT_OK;
}

static retort_status read_record(const archive *a, rt_cursor *c, record *r) {
    uint16_t flags, method, name_length, extra_length, comment_length, disk;
    uint32_t packed32, full32, header32;
    if (!take_magic(c, CENTRAL_MAGIC) || !skip(c, 4) || !rt_take_u16(c, &flags) || !rt_take_u16(c, &method) ||
        !skip(c, 8) || !rt_take_u32(c, &packed32) || !rt_take_u32(c, &full32) ||
        !rt_take_u16(c, &name_length) || !rt_take_u16(c, &extra_length) || !rt_take_u16(c, &comment_length) ||
        !rt_take_u16(c, &disk) || !skip(c, 6) || !rt_take_u32(c, &header32)) {
        return bad(a, "its directory is malformed");
    }
    const uint8_t *name = rt_take(c, name_length);
    const uint8_t *extra = name == NULL ? NULL : rt_take(c, extra_length);
    if (extra == NULL || !skip(c, comment_length)) return bad(a, "its directory is cut short");
    if (name_length == 0 || name_length > MAX_NAME || memchr(name, 0, name_length) != NULL) {
        return bad(a, "an entry's name is empty, too long, or holds a zero byte");
    }
    r->entry.name = rt_arena_text(a->arena, (const char *)name, name_length);
    if (r->entry.name == NULL) return rt_fail_nomem(a->err, name_length);
    if (method != 0 || (flags & ENCRYPTED) != 0) {
        return rt_fail(a->err, RETORT_UNSUPPORTED, "%s: zip archive: '%s' is %s; torch stores it plainly",
                       a->name, r->entry.name, method != 0 ? "compressed" : "encrypted");
    }
    uint64_t packed = packed32, full = full32;
    r->header = header32;
    if (!read_extra(rt_cursor_make(extra, extra_length), &full, &packed, &r->header) || full != packed ||
        full > a->size || disk != 0) {
        return rt_fail(a->err, RETORT_FORMAT, "%s: zip archive: '%s' states sizes that cannot be", a->name,
                       r->entry.name);
    }
    r->entry.size = (size_t)full;
    return locate(a, r);
}

static int compare_headers(const void *a, const void *b) {
    const record *left = a, *right = b;
    return left->header < right->header ? -1 : left->header > right->header;
}
static int compare_entries(const void *a, const void *b) {
    const rt_zip_entry *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Entries may share no byte: overlapping ones are how a small archive pretends to be a huge one. */
static retort_status check_overlap(const archive *a, record *records, size_t count) {
    if (count > 1) qsort(records, count, sizeof *records, compare_headers);
    for (size_t i = 0; i < count; i++) {
        uint64_t limit = i + 1 < count ? records[i + 1].header : a->directory;
        if (records[i].end > limit) {
            return rt_fail(a->err, RETORT_FORMAT, "%s: zip archive: '%s' overlaps what follows it", a->name,
                           records[i].entry.name);
        }
    }
    return RETORT_OK;
}

static retort_status keep_entries(rt_zip *out, const archive *a, const record *records, size_t count) {
    rt_zip_entry *entries = rt_arena_calloc(a->arena, count, sizeof *entries);
    if (entries == NULL) return rt_fail_nomem(a->err, count * sizeof *entries);
    for (size_t i = 0; i < count; i++) entries[i] = records[i].entry;
    if (count > 1) qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(entries[i - 1].name, entries[i].name) == 0) {
            return rt_fail(a->err, RETORT_FORMAT, "%s: zip archive: '%s' appears twice", a->name,
                           entries[i].name);
        }
    }
    *out = (rt_zip){entries, count};
    return RETORT_OK;
}

retort_status rt_zip_read(rt_zip *out, rt_arena *arena, const char *name, const uint8_t *data, size_t size,
                          retort_error *err) {
    archive a = {.arena = arena, .name = name, .data = data, .size = size, .err = err};
    retort_status status = read_end(&a);
    if (status != RETORT_OK) return status;
    size_t count = (size_t)a.count;
    record *records = rt_calloc(count, sizeof *records);
    if (records == NULL) return rt_fail_nomem(err, count * sizeof *records);
    rt_cursor directory = rt_cursor_make(data + a.directory, (size_t)a.directory_size);
    for (size_t i = 0; i < count && status == RETORT_OK; i++)
        status = read_record(&a, &directory, &records[i]);
    if (status == RETORT_OK && rt_cursor_left(&directory) > 0)
        status = bad(&a, "its directory has bytes left over");
    if (status == RETORT_OK) status = check_overlap(&a, records, count);
    if (status == RETORT_OK) status = keep_entries(out, &a, records, count);
    free(records);
    return status;
}

const rt_zip_entry *rt_zip_find(const rt_zip *zip, const char *name) {
    rt_zip_entry key = {.name = name};
    return zip->count == 0 ? NULL : bsearch(&key, zip->entries, zip->count, sizeof key, compare_entries);
}
