/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/codec.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 17, MAGIC = 4 };

/* By codec. `calls` is NULL where the headers were missing when this was built. */
static const struct {
    const char *name, *endings[2], *magic;
    const cli_codec_calls *calls;
} codecs[] = {
    [CLI_PLAIN] = {NULL, {NULL}, NULL, NULL},
    [CLI_GZIP] = {"gzip", {".gz"}, "\x1f\x8b", CLI_WITH_GZIP},
    [CLI_ZSTD] = {"zstd", {".zst", ".zstd"}, "\x28\xb5\x2f\xfd", CLI_WITH_ZSTD},
};

cli_codec cli_codec_of(const char *name, size_t *stem) {
    size_t length = strlen(name);
    *stem = length;
    for (int codec = CLI_GZIP; codec <= CLI_ZSTD; codec++) {
        for (size_t i = 0; i < 2 && codecs[codec].endings[i] != NULL; i++) {
            size_t n = strlen(codecs[codec].endings[i]);
            if (length <= n || strcmp(name + length - n, codecs[codec].endings[i]) != 0) continue;
            *stem = length - n;
            return (cli_codec)codec;
        }
    }
    return CLI_PLAIN;
}

/* Returns the name of a function that the library lacks, or NULL. */
static const char *find_symbols(void *library, const cli_symbol *symbols) {
    for (const cli_symbol *s = symbols; s->name != NULL; s++) {
        void *symbol = dlsym(library, s->name);
        if (symbol == NULL) return s->name;
        /* POSIX: object and function pointers have the same form */
        memcpy(s->pointer, &symbol, sizeof symbol);
    }
    return NULL;
}

static retort_status load(cli_codec codec, const char *path, retort_error *err) {
    const cli_codec_calls *calls = codecs[codec].calls;
    if (codec == CLI_PLAIN) return RETORT_OK;
    err->status = RETORT_UNSUPPORTED;
    if (calls == NULL) {
        snprintf(err->text, sizeof err->text, "%.300s: retort was built without %s", path,
                 codecs[codec].name);
        return err->status;
    }
    void *library = dlopen(calls->library, RTLD_NOW | RTLD_LOCAL);
    const char *problem = library == NULL ? dlerror() : NULL;
    const char *lacks = library != NULL ? find_symbols(library, calls->symbols) : NULL;
    if (library != NULL && lacks == NULL) return RETORT_OK;
    snprintf(err->text, sizeof err->text, "%.200s: %s: %.200s%s (Debian's package is %s)", path,
             codecs[codec].name, problem != NULL ? problem : "the library lacks ", lacks != NULL ? lacks : "",
             calls->package);
    return err->status;
}

cli_code cli_codec_check(cli_codec codec, const char *path) {
    retort_error err;
    return load(codec, path, &err) == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

/* ---- Reading ---- */

struct cli_source {
    const char *path;
    int fd;
    cli_codec codec;
    void *state;     /* that unpacks; NULL: plain */
    char *in;        /* [READ_BYTES] */
    cli_step unread; /* of `in`; `ended`: at the end of a member, or at the beginning */
    bool end;        /* of the file */
    uint64_t done, total;
    struct timespec changed; /* of a regular file: its last change before it was opened */
};

static retort_status fail_io(const cli_source *source, retort_error *err) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "%.300s: cannot read: %s", source->path, strerror(errno));
    return err->status;
}

/* The end of a regular file that is not the one that was opened may lie anywhere, and so may what was read. */
static retort_status check_unchanged(const cli_source *source, retort_error *err) {
    struct stat info;
    if (source->total == 0) return RETORT_OK;
    if (fstat(source->fd, &info) != 0) return fail_io(source, err);
    if ((uint64_t)info.st_size == source->total && info.st_mtim.tv_sec == source->changed.tv_sec &&
        info.st_mtim.tv_nsec == source->changed.tv_nsec)
        return RETORT_OK;
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "%.300s: it changed while it was read", source->path);
    return err->status;
}

/* One read() behind the bytes that are left; sets `end`. */
static retort_status refill(cli_source *source, retort_error *err) {
    if (source->unread.in_left > 0) memmove(source->in, source->unread.in, source->unread.in_left);
    source->unread.in = source->in;
    char *to = source->in + source->unread.in_left;
    ssize_t n;
    do {
        n = read(source->fd, to, READ_BYTES - source->unread.in_left);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return fail_io(source, err);
    source->end = n == 0;
    source->done += (uint64_t)n;
    source->unread.in_left += (size_t)n;
    return source->end ? check_unchanged(source, err) : RETORT_OK;
}

static bool begins_as(const cli_source *source, cli_codec codec) {
    const unsigned char *in = (const unsigned char *)source->in;
    const char *magic = codecs[codec].magic;
    if (source->unread.in_left < strlen(magic)) return false;
    /* A frame that zstd skips may be the first; pzstd writes one. */
    bool skipped = codec == CLI_ZSTD && in[0] >> 4 == 5 && memcmp(in + 1, "\x2a\x4d\x18", 3) == 0;
    return skipped || memcmp(in, magic, strlen(magic)) == 0;
}

/* What the first bytes say. */
static retort_status find_codec(cli_source *source, retort_error *err) {
    retort_status status = RETORT_OK;
    while (status == RETORT_OK && !source->end && source->unread.in_left < MAGIC)
        status = refill(source, err);
    for (int codec = CLI_GZIP; status == RETORT_OK && codec <= CLI_ZSTD; codec++) {
        if (!begins_as(source, (cli_codec)codec)) continue;
        source->codec = (cli_codec)codec;
        status = load(source->codec, source->path, err);
        if (status != RETORT_OK) return status;
        source->state = codecs[codec].calls->open();
        source->unread.ended = true;
        if (source->state != NULL) return RETORT_OK;
        err->status = RETORT_NOMEM;
        snprintf(err->text, sizeof err->text, "out of memory");
        return err->status;
    }
    return status;
}

cli_code cli_source_open(cli_source **out, const char *path) {
    bool in = strcmp(path, "-") == 0;
    struct stat info;
    retort_error err;
    cli_source *source = calloc(1, sizeof *source);
    if (source == NULL) return cli_no_memory();
    source->path = in ? "standard input" : path;
    source->in = malloc(READ_BYTES);
    source->unread.in = source->in;
    source->fd = in ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    cli_code code = source->in != NULL ? CLI_DONE : cli_no_memory();
    if (code == CLI_DONE && (source->fd < 0 || fstat(source->fd, &info) != 0)) {
        cli_error("%s: cannot open: %s", path, strerror(errno));
        code = CLI_BAD_DATA;
    }
    if (code == CLI_DONE && S_ISREG(info.st_mode)) {
        source->total = (uint64_t)info.st_size;
        source->changed = info.st_mtim;
    }
    if (code == CLI_DONE && find_codec(source, &err) != RETORT_OK) code = cli_fail(&err, true);
    if (code == CLI_DONE) {
        *out = source;
    } else {
        cli_source_close(source);
    }
    return code;
}

static int64_t unpack(cli_source *source, char *bytes, size_t size, retort_error *err) {
    const cli_codec_calls *calls = codecs[source->codec].calls;
    cli_step *step = &source->unread;
    step->out = bytes;
    step->out_left = size;
    while (step->out_left == size) {
        if (step->in_left == 0 && !source->end && refill(source, err) != RETORT_OK) return -1;
        if (step->in_left == 0 && source->end && step->ended) return 0;
        size_t before = step->in_left;
        const char *problem = calls->step(source->state, step);
        bool cut = source->end && before == step->in_left && step->out_left == size && !step->ended;
        if (problem == NULL && !cut) continue;
        err->status = RETORT_FORMAT;
        if (problem == NULL)
            snprintf(err->text, sizeof err->text,
                     "%.300s: the compressed data end too early: the file is incomplete", source->path);
        else
            snprintf(err->text, sizeof err->text, "%.300s: the compressed data cannot be unpacked: %.100s",
                     source->path, problem);
        return -1;
    }
    return (int64_t)(size - step->out_left);
}

int64_t cli_source_read(void *user, void *bytes, size_t size, retort_error *err) {
    cli_source *source = user;
    if (source->state != NULL) return unpack(source, bytes, size, err);
    if (source->unread.in_left == 0 && !source->end && refill(source, err) != RETORT_OK) return -1;
    size_t n = source->unread.in_left < size ? source->unread.in_left : size;
    memcpy(bytes, source->unread.in, n);
    source->unread.in += n;
    source->unread.in_left -= n;
    return (int64_t)n;
}

uint64_t cli_source_done(const cli_source *source) {
    return source->done - source->unread.in_left;
}

uint64_t cli_source_total(const cli_source *source) {
    return source->total;
}

void cli_source_close(cli_source *source) {
    if (source == NULL) return;
    if (source->state != NULL) codecs[source->codec].calls->close(source->state);
    if (source->fd > STDIN_FILENO) close(source->fd);
    free(source->in);
    free(source);
}

/* ---- Writing ---- */

cli_code cli_compress(cli_codec codec, const char *data, size_t n, char **out, size_t *length) {
    const cli_codec_calls *calls = codecs[codec].calls;
    size_t capacity = calls->bound(n);
    *out = capacity > 0 ? malloc(capacity) : NULL;
    *length = *out != NULL ? calls->pack(*out, capacity, data, n) : 0;
    if (*length > 0) return CLI_DONE;
    free(*out);
    *out = NULL;
    return cli_no_memory();
}
