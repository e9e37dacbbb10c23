/* SPDX-License-Identifier: Apache-2.0
 * Files: mapped for reading; for writing, a new file that replaces the old one by renaming. */
#ifndef RT_BASE_MAP_H
#define RT_BASE_MAP_H

#include "base/error.h"

/* A read-only mapping of a regular file. An empty file has size 0 and a non-NULL data pointer. */
typedef struct rt_map {
    const uint8_t *data;
    size_t size;
    void *base; /* address to unmap; NULL for an empty file */
} rt_map;
retort_status rt_map_open(rt_map *map, const char *path, retort_error *err);
/* The same for an open file, which the caller keeps; `path` is for error texts. */
retort_status rt_map_fd(rt_map *map, int fd, const char *path, retort_error *err);
void rt_map_close(rt_map *map);

/* Whether `path` names a regular file (following links) / a folder. */
bool rt_is_file(const char *path);
bool rt_is_folder(const char *path);
/* Writes "folder/name" to out; false if it does not fit. */
bool rt_path_join(char *out, size_t size, const char *folder, const char *name);

/* A new file next to `path`, with a different name or none. commit syncs it and renames it over `path` (or
 * over the target if `path` is a link; anything but a regular file is refused). abort removes it; it may
 * also follow a failed commit, or be called with nothing open. */
typedef struct rt_writer {
    char *path, *temporary;
    bool named; /* a file named `temporary` exists */
    int fd;
    uint64_t written; /* bytes given to rt_writer_write */
    char *block;      /* what is not in the file yet */
    size_t held;
} rt_writer;
retort_status rt_writer_open(rt_writer *writer, const char *path, retort_error *err);
retort_status rt_writer_write(rt_writer *writer, const void *data, size_t size, retort_error *err);
retort_status rt_writer_commit(rt_writer *writer, retort_error *err);
void rt_writer_abort(rt_writer *writer);

#endif
