/* SPDX-License-Identifier: Apache-2.0
 * gzip, by zlib. */
#include "cli/codec.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = MAX_WBITS + 16, LEVEL = 6, MEMORY = 8 };

/* The functions behind zlib's macros take its version and the size of its struct. */
static struct {
    __typeof__(inflateInit2_) *inflate_init;
    __typeof__(inflate) *inflate;
    __typeof__(inflateReset) *inflate_reset;
    __typeof__(inflateEnd) *inflate_end;
    __typeof__(deflateInit2_) *deflate_init;
    __typeof__(deflateBound) *deflate_bound;
    __typeof__(deflate) *deflate;
    __typeof__(deflateEnd) *deflate_end;
} zlib;

static const cli_symbol symbols[] = {{"inflateInit2_", &zlib.inflate_init},
                                     {"inflate", &zlib.inflate},
                                     {"inflateReset", &zlib.inflate_reset},
                                     {"inflateEnd", &zlib.inflate_end},
                                     {"deflateInit2_", &zlib.deflate_init},
                                     {"deflateBound", &zlib.deflate_bound},
                                     {"deflate", &zlib.deflate},
                                     {"deflateEnd", &zlib.deflate_end},
                                     {NULL, NULL}};

static void *begin(void) {
    z_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL || zlib.inflate_init(stream, GZIP_WINDOW, ZLIB_VERSION, (int)sizeof *stream) == Z_OK)
        return stream;
    free(stream);
    return NULL;
}

static void end(void *state) {
    zlib.inflate_end(state);
    free(state);
}

/* Members of a file follow each other; each begins with a fresh state. */
static const char *step(void *state, cli_step *s) {
    z_stream *stream = state;
    if (s->ended && zlib.inflate_reset(stream) != Z_OK) return "zlib has no state";
    stream->next_in = (unsigned char *)(uintptr_t)s->in;
    stream->avail_in = (unsigned)s->in_left;
    stream->next_out = (unsigned char *)s->out;
    stream->avail_out = (unsigned)s->out_left;
    int result = zlib.inflate(stream, Z_NO_FLUSH);
    s->in = (const char *)stream->next_in;
    s->in_left = stream->avail_in;
    s->out = (char *)stream->next_out;
    s->out_left = stream->avail_out;
    s->ended = result == Z_STREAM_END;
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) return NULL;
    return result == Z_MEM_ERROR ? "out of memory" : stream->msg != NULL ? stream->msg : "broken data";
}

static bool deflate_open(z_stream *stream) {
    return zlib.deflate_init(stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                             (int)sizeof *stream) == Z_OK;
}

static size_t bound(size_t n) {
    z_stream stream = {0};
    if (n > UINT_MAX / 2 || !deflate_open(&stream)) return 0;
    size_t most = zlib.deflate_bound(&stream, n);
    zlib.deflate_end(&stream);
    return most;
}

static size_t pack(char *out, size_t capacity, const char *data, size_t n) {
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)data,
                       .avail_in = (unsigned)n,
                       .next_out = (unsigned char *)out,
                       .avail_out = (unsigned)capacity};
    if (capacity > UINT_MAX || !deflate_open(&stream)) return 0;
    bool done = zlib.deflate(&stream, Z_FINISH) == Z_STREAM_END;
    size_t length = stream.total_out;
    zlib.deflate_end(&stream);
    return done ? length : 0;
}

const cli_codec_calls cli_gzip = {"libz.so.1", "zlib1g", symbols, begin, step, end, bound, pack};
