/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/budget.h"
#include "base/size.h"

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

/* The target if `path` is a link, else a copy of `path`. A dangling link is refused: whoever created it would
 * choose where the new file appears. */
static retort_status resolve(char **out, const char *path, retort_error *err) {
    struct stat info;
    *out = realpath(path, NULL);
    if (*out == NULL && lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) {
        return rt_fail(err, RETORT_IO, "%s: a dangling link: remove it, or name the file itself", path);
    }
    if (*out == NULL) *out = strdup(path);
    return *out != NULL ? RETORT_OK : rt_fail_nomem(err, strlen(path));
}

enum { TEMPORARY_SUFFIX = 32, MAX_TRIES = 100, FD_PATH = 32 };
/* Written at once: Linux keeps as one folio what one write puts into the page cache, and maps a folio of the
 * size of a huge page by one entry. A model of 35 MB that has just been saved is then mapped by 17 page faults
 * in place of 550, and unmapped in 0.1 ms in place of 1.0. */
enum { BLOCK = 2 << 20 };

/* `path` with a unique suffix. */
static void name_temporary(const rt_writer *writer) {
    static atomic_uint count;
    snprintf(writer->temporary, strlen(writer->path) + TEMPORARY_SUFFIX, "%s.%x-%x", writer->path,
             (unsigned)getpid(), atomic_fetch_add(&count, 1));
}

/* Creates an unnamed file in the folder of `path`; the system removes it however the process ends. -1: not
 * supported by the file system. */
static int open_unnamed(const char *path) {
#ifdef O_TMPFILE
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : slash > path ? (size_t)(slash - path) : 1;
    if (length >= sizeof folder || access("/proc/self/fd", X_OK) != 0) return -1;
    memcpy(folder, length > 0 ? path : ".", length > 0 ? length : 1);
    folder[length > 0 ? length : 1] = '\0';
    return open(folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
#else
    (void)path;
    return -1;
#endif
}

/* Creates a new file next to `path`, unnamed if possible. -1: see errno. */
static int create_beside(rt_writer *writer) {
    int fd = open_unnamed(writer->path);
    for (int i = 0; fd < 0 && i < MAX_TRIES; i++) {
        name_temporary(writer);
        fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        writer->named = fd >= 0;
        if (fd < 0 && errno != EEXIST) break;
    }
    return fd;
}

/* Links an unnamed file into the folder. */
static bool give_name(rt_writer *writer) {
    char from[FD_PATH];
    snprintf(from, sizeof from, "/proc/self/fd/%d", writer->fd);
    for (int i = 0; !writer->named && i < MAX_TRIES; i++) {
        name_temporary(writer);
        writer->named = linkat(AT_FDCWD, from, AT_FDCWD, writer->temporary, AT_SYMLINK_FOLLOW) == 0;
        if (!writer->named && errno != EEXIST) break;
    }
    return writer->named;
}

retort_status rt_writer_open(rt_writer *writer, const char *path, retort_error *err) {
    *writer = (rt_writer){.fd = -1};
    mode_t mode = mode_of(path);
    if (mode != 0 && !S_ISREG(mode)) return rt_fail(err, RETORT_IO, "%s: not a regular file", path);
    retort_status status = resolve(&writer->path, path, err);
    if (status != RETORT_OK) return status;
    size_t size = strlen(writer->path) + TEMPORARY_SUFFIX;
    writer->temporary = malloc(size);
    writer->block = malloc(BLOCK);
    if (writer->temporary == NULL || writer->block == NULL) {
        rt_writer_abort(writer);
        return rt_fail_nomem(err, size + BLOCK);
    }
    writer->fd = create_beside(writer);
    if (writer->fd >= 0) return RETORT_OK;
    status = fail_errno(err, path, "create a file beside it");
    rt_writer_abort(writer);
    return status;
}

static retort_status flush(rt_writer *writer, retort_error *err) {
    for (size_t done = 0; done < writer->held;) {
        ssize_t n = write(writer->fd, writer->block + done, writer->held - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(err, writer->path, "write");
        done += (size_t)n;
    }
    writer->held = 0;
    return RETORT_OK;
}

retort_status rt_writer_write(rt_writer *writer, const void *data, size_t size, retort_error *err) {
    const char *at = data;
    while (size > 0) {
        size_t part = rt_min(size, (size_t)BLOCK - writer->held);
        memcpy(writer->block + writer->held, at, part);
        writer->held += part;
        writer->written += part;
        at += part;
        size -= part;
        retort_status status = writer->held == BLOCK ? flush(writer, err) : RETORT_OK;
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

retort_status rt_writer_commit(rt_writer *writer, retort_error *err) {
    retort_status status = flush(writer, err);
    if (status != RETORT_OK) return status;
    bool done = fsync(writer->fd) == 0 && give_name(writer);
    int fd = writer->fd;
    writer->fd = -1;
    done = close(fd) == 0 && done && rename(writer->temporary, writer->path) == 0;
    if (!done) return fail_errno(err, writer->path, "put the written file in its place");
    writer->named = false;
    return RETORT_OK;
}

void rt_writer_abort(rt_writer *writer) {
    if (writer->fd >= 0) close(writer->fd);
    if (writer->temporary != NULL && writer->named) unlink(writer->temporary);
    free(writer->block);
    free(writer->temporary);
    free(writer->path);
    *writer = (rt_writer){.fd = -1};
}
