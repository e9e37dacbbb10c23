/* SPDX-License-Identifier: Apache-2.0
 * A location is untrusted text. It must name a regular file with one name below the model's folder, and no part of
 * the path may be a link, except those from Hugging Face's cache to its own blobs. */
#include "onnx/external.h"

#include "format/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct place {
    const char *location;
    uint64_t offset, length;
    bool has_length;
} place;

static bool number(const char *text, uint64_t *out) {
    *out = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9' || i > 18) return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return text[0] != '\0';
}

static retort_status read_place(place *out, const char *file, const RtOnnx__Tensor *message, const char *name,
                                retort_error *err) {
    *out = (place){0};
    for (size_t i = 0; i < message->n_external_data; i++) {
        const char *key = message->external_data[i]->key, *value = message->external_data[i]->value;
        bool good = key != NULL && value != NULL;
        if (good && strcmp(key, "location") == 0) {
            out->location = value;
        } else if (good && strcmp(key, "offset") == 0) {
            good = number(value, &out->offset);
        } else if (good && strcmp(key, "length") == 0) {
            good = number(value, &out->length);
            out->has_length = true;
        } else {
            good = good && strcmp(key, "checksum") == 0;
        }
        if (good) continue;
        return rt_fail(err, RETORT_FORMAT, "%.200s: %.120s: external data with '%.40s' = '%.40s'", file, name,
                       key != NULL ? key : "", value != NULL ? value : "");
    }
    if (out->location != NULL) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%.200s: %.120s: external data without a location", file, name);
}

/* Opens `name` in the folder `at`, and closes `at`. */
static int step(int at, const char *name, size_t length, int flags) {
    char part[RT_PATH_SIZE];
    if (length >= sizeof part) {
        close(at);
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, name, length);
    part[length] = '\0';
    bool plain = rt_plain_name(part);
    int fd = plain ? openat(at, part, flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    int why = plain ? errno : EXDEV;
    close(at);
    errno = why;
    return fd;
}

/* Cuts a path in a snapshot of Hugging Face's cache, …/models--OWNER--NAME/snapshots/REVISION/…, after the
 * model's folder; returns the number of components, 0 for any other path. */
static int cut_to_model(char *path) {
    int cut = 0;
    bool snapshots = false;
    for (char *slash; (slash = strrchr(path, '/')) != NULL; cut++) {
        if (snapshots && cut > 1 && strncmp(slash + 1, "models--", 8) == 0) return cut;
        snapshots = strcmp(slash + 1, "snapshots") == 0;
        *slash = '\0';
    }
    return 0;
}

/* In that cache a file's name is a link to models--OWNER--NAME/blobs/HASH, which is opened; -1 for any other
 * link. */
static int open_blob(const char *folder, const char *location) {
    char real[PATH_MAX], path[RT_PATH_SIZE], target[RT_PATH_SIZE] = "";
    bool fits = realpath(folder, real) != NULL && rt_path_join(path, sizeof path, real, location);
    ssize_t length = fits ? readlink(path, target, sizeof target - 1) : -1;
    if (length < 0) return -1;
    *strrchr(path, '/') = '\0';
    const char *hash = target;
    int up = cut_to_model(path);
    for (int i = 0; up > 0 && i < up; i++) {
        if (strncmp(hash, "../", 3) != 0) up = 0;
        hash += 3;
    }
    if (up == 0 || strncmp(hash, "blobs/", 6) != 0) {
        errno = ELOOP;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) fd = step(fd, "blobs", 5, O_DIRECTORY);
    return fd >= 0 ? step(fd, hash + 6, strlen(hash + 6), O_NONBLOCK | O_NOCTTY) : -1;
}

/* Opens the file at a relative location below the folder; -1: errno says why (EXDEV: outside, ELOOP: a link). */
static int open_beneath(const char *folder, const char *location) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *part = location;
    for (const char *slash; fd >= 0 && (slash = strchr(part, '/')) != NULL; part = slash + 1) {
        fd = step(fd, part, (size_t)(slash - part), O_DIRECTORY);
    }
    if (fd >= 0) fd = step(fd, part, strlen(part), O_NONBLOCK | O_NOCTTY);
    return fd < 0 && errno == ELOOP ? open_blob(folder, location) : fd;
}

static retort_status refuse(const char *file, const char *location, retort_error *err) {
    bool outside = errno == EXDEV || errno == ELOOP || errno == ENOTDIR;
    return rt_fail(
        err, RETORT_IO, "%.200s: external data '%.120s': %s", file, location,
        outside ? "not a file below the model's folder (the only links followed are those of Hugging Face's "
                  "cache to its blobs)"
                : strerror(errno));
}

/* More than any exporter writes. */
enum { MAX_FILES = 1000 };

static retort_status add_file(rt_onnx *onnx, const char *file, const char *location, int fd,
                              retort_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1) {
        return rt_fail(err, RETORT_IO, "%.200s: external data '%.120s': not a regular file with one name",
                       file, location);
    }
    if (onnx->file_count >= MAX_FILES) {
        return rt_fail(err, RETORT_LIMIT, "%.200s: external data in more than %d files", file, MAX_FILES);
    }
    if (!rt_grow((void **)&onnx->files, &onnx->file_capacity, onnx->file_count + 1, sizeof *onnx->files)) {
        return rt_fail_nomem(err, sizeof *onnx->files);
    }
    rt_map *map = &onnx->files[onnx->file_count];
    retort_status status = rt_map_fd(map, fd, location, err);
    if (status != RETORT_OK) return status;
    return rt_names_put(&onnx->locations, location, (int)onnx->file_count++)
               ? RETORT_OK
               : rt_fail_nomem(err, sizeof *map);
}

/* The one mapping of a location. */
static retort_status find_map(rt_onnx *onnx, const char *file, const char *folder, const char *location,
                              rt_map *out, retort_error *err) {
    if (location == NULL)
        return rt_fail(err, RETORT_FORMAT, "%.200s: external data without a location", file);
    int known = rt_names_find(&onnx->locations, location, strlen(location));
    if (known < 0) {
        known = (int)onnx->file_count;
        int fd = open_beneath(folder, location);
        if (fd < 0) return refuse(file, location, err);
        retort_status status = add_file(onnx, file, location, fd, err);
        close(fd);
        if (status != RETORT_OK) return status;
    }
    *out = onnx->files[known];
    return RETORT_OK;
}

retort_status rt_onnx_external(rt_onnx *onnx, const char *file, const char *folder,
                               const RtOnnx__Tensor *message, rt_onnx_tensor *tensor, retort_error *err) {
    place at;
    rt_map map = {0};
    retort_status status = read_place(&at, file, message, tensor->name, err);
    if (status != RETORT_OK) return status;
    if (folder == NULL) {
        return rt_fail(err, RETORT_FORMAT, "%.200s: %.120s: external data, of a model without a folder", file,
                       tensor->name);
    }
    status = find_map(onnx, file, folder, at.location, &map, err);
    if (status != RETORT_OK) return status;
    if ((at.has_length && at.length != tensor->bytes) || at.offset > map.size ||
        tensor->bytes > map.size - at.offset) {
        return rt_fail(err, RETORT_FORMAT,
                       "%.200s: %.120s: %zu bytes at %" PRIu64 " of '%.80s', which has %zu (length %" PRIu64
                       ")",
                       file, tensor->name, tensor->bytes, at.offset, at.location, map.size, at.length);
    }
    tensor->data = map.data + at.offset;
    return RETORT_OK;
}
