/* SPDX-License-Identifier: Apache-2.0
 * Files that may be compressed: reading them as they are or unpacked, and writing them in blocks. The libraries are
 * loaded when a file needs them. */
#ifndef CLI_CODEC_H
#define CLI_CODEC_H

#include "cli/output.h"
#include "retort.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cli_codec { CLI_PLAIN, CLI_GZIP, CLI_ZSTD } cli_codec;
/* By the ending of a name: .gz, .zst, .zstd; *stem is the length of the name without it. */
cli_codec cli_codec_of(const char *name, size_t *stem);
/* Whether this program can write it; prints why not. */
cli_code cli_codec_check(cli_codec codec, const char *path);

/* Input, unpacked if its first bytes say that it is compressed. */
typedef struct cli_source cli_source;
/* "-": standard input. Errors are printed. */
cli_code cli_source_open(cli_source **out, const char *path);
/* A retort_read_fn. */
int64_t cli_source_read(void *source, void *bytes, size_t size, retort_error *err);
/* Bytes of the file that were read, and its size; 0: unknown. */
uint64_t cli_source_done(const cli_source *source);
uint64_t cli_source_total(const cli_source *source);
void cli_source_close(cli_source *source);

/* A complete gzip member or zstd frame of n bytes, for the caller to free. Errors are printed. */
cli_code cli_compress(cli_codec codec, const char *data, size_t n, char **out, size_t *length);

/* ---- For the codecs ---- */

/* Input and output of one step: what is left of both. */
typedef struct cli_step {
    const char *in;
    size_t in_left;
    char *out;
    size_t out_left;
    bool ended; /* a member or frame is complete */
} cli_step;
/* A function of a library, and the pointer that gets it. */
typedef struct cli_symbol {
    const char *name;
    void *pointer;
} cli_symbol;
typedef struct cli_codec_calls {
    const char *library, *package; /* to load, and Debian's name of it */
    const cli_symbol *symbols;     /* those of the library; the last one has no name */
    void *(*open)(void);           /* to unpack; NULL: out of memory */
    /* NULL, or why the data cannot be unpacked. */
    const char *(*step)(void *state, cli_step *step);
    void (*close)(void *state);
    size_t (*bound)(size_t n); /* most bytes that n bytes become */
    /* Returns the length, 0 if it failed. */
    size_t (*pack)(char *out, size_t capacity, const char *data, size_t n);
} cli_codec_calls;
extern const cli_codec_calls cli_gzip, cli_zstd;

#endif
