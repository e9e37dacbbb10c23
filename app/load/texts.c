/* SPDX-License-Identifier: Apache-2.0
 * Texts to ask with: of a file, or built in. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 28 };

/* Built-in texts are one of each list. No two are the same, since equal texts in flight may be computed once.
 */
static const char *const openings[] = {
    "The delivery",           "My new card",         "This film",
    "The second season",      "Our hotel room",      "The last update",
    "Customer service",       "The battery",         "Her first novel",
    "The soup of the day",    "The whole orchestra", "This cheap little kettle",
    "The train to the coast", "His cooking",         "The instruction booklet",
    "Nobody's luggage",
};
static const char *const middles[] = {
    "arrived late",
    "worked right away",
    "was better than I had hoped",
    "left me cold",
    "made the evening worthwhile, from the first minute to the last",
    "fell apart within a week",
    "is still not what was promised",
    "surprised all of us",
    "needs a good deal of patience",
    "could have been half as long",
    "got lost somewhere between the counter and the car",
    "did what it should",
    "has never looked so good, though the colours may be a matter of taste",
    "was a waste of money",
    "costs twice as much as last year",
    "is worth every penny",
};
static const char *const endings[] = {
    ".",
    ", sadly.",
    ", and I would do it again.",
    ", which is more than can be said of the rest.",
    "!",
    ", but nobody answered when I called.",
    " and I am still waiting for an explanation from the people in charge.",
    ", so we went home early.",
    " in the end.",
    ", as everyone had warned me.",
    ", to be fair.",
    ", although the beginning had been promising and the reviews were full of praise.",
    ", again.",
    " and that is all I ask for.",
    ", or so it seemed at the time.",
    ", thank you very much.",
};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static cli_code make_texts(load_texts *out) {
    enum { MOST_LENGTH = 256 };
    size_t n = COUNT(openings) * COUNT(middles) * COUNT(endings);
    out->items = calloc(n, sizeof *out->items);
    out->buffer = malloc(n * MOST_LENGTH);
    if (out->items == NULL || out->buffer == NULL) return cli_no_memory();
    for (size_t i = 0; i < n; i++) {
        size_t k = i * 1597 % n; /* 1597 and n have no common factor: all of them, mixed */
        char *text = out->buffer + i * MOST_LENGTH;
        int length = snprintf(text, MOST_LENGTH, "%s %s%s", openings[k % COUNT(openings)],
                              middles[k / COUNT(openings) % COUNT(middles)],
                              endings[k / COUNT(openings) / COUNT(middles)]);
        out->items[out->count++] = (retort_text){.text = text, .length = (size_t)length};
    }
    return CLI_DONE;
}

static cli_code read_all(char **out, size_t *length, const char *path) {
    FILE *file = fopen(path, "re");
    size_t capacity = 1 << 16, n = 0;
    char *bytes = file != NULL ? malloc(capacity) : NULL;
    while (bytes != NULL && n < MOST_BYTES) {
        size_t got = fread(bytes + n, 1, capacity - n, file);
        if (got == 0) break;
        n += got;
        if (n < capacity) continue;
        char *grown = realloc(bytes, capacity *= 2);
        if (grown == NULL) free(bytes);
        bytes = grown;
    }
    bool failed = file == NULL || ferror(file) != 0;
    int why = errno;
    if (file != NULL) fclose(file);
    *out = bytes;
    *length = n;
    if (failed) {
        cli_error("%s: cannot read: %s", path, strerror(why));
    } else if (bytes != NULL && n >= MOST_BYTES) {
        cli_error("%s: larger than %d MB", path, MOST_BYTES >> 20);
        failed = true;
    }
    return failed ? CLI_BAD_DATA : bytes == NULL ? cli_no_memory() : CLI_DONE;
}

/* The next line from *at on, without its end; NULL behind the last. */
static const char *next_line(const char **at, const char *end, size_t *length) {
    const char *line = *at, *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    if (line >= end) return NULL;
    *length = (size_t)((stop != NULL ? stop : end) - line);
    *at = stop != NULL ? stop + 1 : end;
    if (*length > 0 && line[*length - 1] == '\r') --*length;
    return line;
}

/* Column `index` of a line, "" when it has fewer. */
static const char *column(const char *line, size_t length, size_t index, size_t *size) {
    const char *end = line + length;
    for (; index > 0 && line < end; index--) {
        const char *tab = memchr(line, '\t', (size_t)(end - line));
        line = tab != NULL ? tab + 1 : end;
    }
    const char *tab = line < end ? memchr(line, '\t', (size_t)(end - line)) : NULL;
    *size = (size_t)((tab != NULL ? tab : end) - line);
    return line;
}

/* Which columns of a header hold the text and its pair; -1: none. */
static void find_columns(const char *line, size_t length, int *first, int *second) {
    *first = *second = -1;
    size_t size, columns = 1;
    for (size_t i = 0; i < length; i++) columns += line[i] == '\t';
    for (size_t i = 0; i < columns; i++) {
        const char *name = column(line, length, i, &size);
        if (size == 8 && memcmp(name, "sentence", 8) == 0) *first = (int)i;
        if (size == 9 && memcmp(name, "sentence1", 9) == 0) *first = (int)i;
        if (size == 9 && memcmp(name, "sentence2", 9) == 0) *second = (int)i;
    }
}

static cli_code split_texts(load_texts *out, const char *path, size_t length) {
    const char *bom = "\xef\xbb\xbf", *at = out->buffer, *end = at + length;
    size_t lines = 1, size;
    int first = -1, second = -1;
    if (length >= 3 && memcmp(at, bom, 3) == 0) at += 3;
    for (const char *c = at; c < end; c++) lines += *c == '\n';
    out->items = calloc(lines, sizeof *out->items);
    if (out->items == NULL) return cli_no_memory();
    const char *start = at, *line = next_line(&at, end, &size);
    if (line != NULL) find_columns(line, size, &first, &second);
    if (line == NULL || first < 0) at = start; /* no header: lines of text */
    while ((line = next_line(&at, end, &size)) != NULL) {
        retort_text text = {0};
        text.text = line;
        text.length = size;
        if (first >= 0) text.text = column(line, size, (size_t)first, &text.length);
        if (first >= 0 && second >= 0) text.pair = column(line, size, (size_t)second, &text.pair_length);
        if (text.length > 0) out->items[out->count++] = text;
    }
    if (out->count > 0) return CLI_DONE;
    cli_error("%s: no text in it", path);
    return CLI_BAD_DATA;
}

cli_code load_texts_read(load_texts *out, const char *path) {
    size_t length = 0;
    *out = (load_texts){0};
    if (path == NULL) return make_texts(out);
    cli_code code = read_all(&out->buffer, &length, path);
    return code == CLI_DONE ? split_texts(out, path, length) : code;
}

void load_texts_free(load_texts *texts) {
    free(texts->items);
    free(texts->buffer);
    *texts = (load_texts){0};
}
