/* SPDX-License-Identifier: Apache-2.0
 * zstd, by libzstd. */
#include "cli/codec.h"

#include <zstd.h>

enum { LEVEL = 3 };

static struct {
    __typeof__(ZSTD_createDStream) *create;
    __typeof__(ZSTD_decompressStream) *decompress;
    __typeof__(ZSTD_freeDStream) *release;
    __typeof__(ZSTD_compressBound) *bound;
    __typeof__(ZSTD_compress) *compress;
    __typeof__(ZSTD_isError) *is_error;
    __typeof__(ZSTD_getErrorName) *error_name;
} zstd;

static const cli_symbol symbols[] = {
    {"ZSTD_createDStream", &zstd.create},    {"ZSTD_decompressStream", &zstd.decompress},
    {"ZSTD_freeDStream", &zstd.release},     {"ZSTD_compressBound", &zstd.bound},
    {"ZSTD_compress", &zstd.compress},       {"ZSTD_isError", &zstd.is_error},
    {"ZSTD_getErrorName", &zstd.error_name}, {NULL, NULL}};

static void *begin(void) {
    return zstd.create();
}

static void end(void *state) {
    zstd.release(state);
}

/* After a frame, the next one begins by itself. */
static const char *step(void *state, cli_step *s) {
    ZSTD_inBuffer in = {s->in, s->in_left, 0};
    ZSTD_outBuffer out = {s->out, s->out_left, 0};
    size_t result = zstd.decompress(state, &out, &in);
    s->in += in.pos;
    s->in_left -= in.pos;
    s->out += out.pos;
    s->out_left -= out.pos;
    s->ended = result == 0;
    return zstd.is_error(result) != 0 ? zstd.error_name(result) : NULL;
}

static size_t bound(size_t n) {
    return zstd.bound(n);
}

static size_t pack(char *out, size_t capacity, const char *data, size_t n) {
    size_t length = zstd.compress(out, capacity, data, n, LEVEL);
    return zstd.is_error(length) == 0 ? length : 0;
}

const cli_codec_calls cli_zstd = {"libzstd.so.1", "libzstd1", symbols, begin, step, end, bound, pack};
