/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/budget.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static retort_status fail_errno(retort_error *err, const char *path, const char *action) {
    return rt_fail(err, RETORT_IO, "%s: cannot %s: %s", path, action, strerror(errno));
}

retort_status rt_map_fd(rt_map *map, int fd, const char *path, retort_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0) return fail_errno(err, path, "read its size");
    if (!S_ISREG(info.st_mode)) return rt_fail(err, RETORT_IO, "%s: not a regular file", path);
    *map = (rt_map){.data = (const uint8_t *)"", .size = (size_t)info.st_size};
    if (map->size == 0) return RETORT_OK;
    map->base = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map->base == MAP_FAILED) {
        *map = (rt_map){0};
        return fail_errno(err, path, "map it");
    }
    map->data = map->base;
    rt_budget_file(info.st_dev, info.st_ino, map->size);
    return RETORT_OK;
}

retort_status rt_map_open(rt_map *map, const char *path, retort_error *err) {
    *map = (rt_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return fail_errno(err, path, "open");
    retort_status status = rt_map_fd(map, fd, path, err);
    close(fd);
    return status;
}

void rt_map_close(rt_map *map) {
    if (map->base != NULL) munmap(map->base, map->size);
    *map = (rt_map){0};
}

static mode_t mode_of(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? info.st_mode : 0;
}

bool rt_is_file(const char *path) {
    return S_ISREG(mode_of(path));
}
bool rt_is_folder(const char *path) {
    return S_ISDIR(mode_of(path));
}

bool rt_path_join(char *out, size_t size, const char *folder, const char *name) {
    size_t length = strlen(folder);
    const char *slash = length > 0 && folder[length - 1] == '/' ? "" : "/";
    int n = snprintf(out, size, "%s%s%s", folder, slash, name);
    return n >= 0 && (size_t)n < size;
}

/* The file itself where `path` is a link to one; else a copy of `path`. */
static char *resolve(const char *path) {
    char *target = realpath(path, NULL);
    return target != NULL ? target : strdup(path);
}

enum { TEMPORARY_SUFFIX = 32, MOST_TRIES = 100 };

/* A new file named `path` with a suffix that nobody else has; its name goes to `name`. -1: errno says why. */
static int create_beside(const char *path, char *name, size_t size) {
    static atomic_uint count;
    for (int i = 0; i < MOST_TRIES; i++) {
        snprintf(name, size, "%s.%x-%x", path, (unsigned)getpid(), atomic_fetch_add(&count, 1));
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

retort_status rt_writer_open(rt_writer *writer, const char *path, retort_error *err) {
    *writer = (rt_writer){.fd = -1};
    mode_t mode = mode_of(path);
    if (mode != 0 && !S_ISREG(mode)) return rt_fail(err, RETORT_IO, "%s: not a regular file", path);
    writer->path = resolve(path);
    size_t length = writer->path == NULL ? 0 : strlen(writer->path);
    writer->temporary = malloc(length + TEMPORARY_SUFFIX);
    if (writer->path == NULL || writer->temporary == NULL) {
        rt_writer_abort(writer);
        return rt_fail_nomem(err, length + TEMPORARY_SUFFIX);
    }
    writer->fd = create_beside(writer->path, writer->temporary, length + TEMPORARY_SUFFIX);
    if (writer->fd < 0) {
        retort_status status = fail_errno(err, path, "create a file beside it");
        free(writer->temporary); /* nothing was created: nothing to unlink */
        writer->temporary = NULL;
        rt_writer_abort(writer);
        return status;
    }
    return RETORT_OK;
}

retort_status rt_writer_write(rt_writer *writer, const void *data, size_t size, retort_error *err) {
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(writer->fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(err, writer->path, "write");
        at += n;
        size -= (size_t)n;
        writer->written += (uint64_t)n;
    }
    return RETORT_OK;
}

retort_status rt_writer_commit(rt_writer *writer, retort_error *err) {
    bool done = fsync(writer->fd) == 0;
    int fd = writer->fd;
    writer->fd = -1;
    done = close(fd) == 0 && done && rename(writer->temporary, writer->path) == 0;
    if (!done) return fail_errno(err, writer->path, "put the written file in its place");
    free(writer->temporary);
    writer->temporary = NULL;
    return RETORT_OK;
}

void rt_writer_abort(rt_writer *writer) {
    if (writer->fd >= 0) close(writer->fd);
    if (writer->temporary != NULL) unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (rt_writer){.fd = -1};
}
