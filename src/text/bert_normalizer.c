/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bert_normalizer.h"

#include "text/unicode.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* Hangul syllables decompose by arithmetic: Unicode 15.0, 3.12. */
enum {
    SYLLABLE = 0xAC00,
    LEADING = 0x1100,
    VOWEL = 0x1161,
    TRAILING = 0x11A7,
    VOWELS = 21,
    TRAILINGS = 28,
    SYLLABLES = 11172
};
enum { DOTTED_CAPITAL_I = 0x130, COMBINING_DOT = 0x307 }; /* the one character whose lower case is two */

/* A point needs no more than two for each byte it came from: U+0390 (2 bytes) becomes 3, an ASCII byte 1, an
 * ideograph (3 bytes) 3 with its spaces, U+0130 (2 bytes) 2. */
enum { POINTS_A_BYTE = 2 };

void rt_normalized_free(rt_normalized *normalized) {
    free(normalized->points);
    free(normalized->bytes);
    free(normalized->spare);
    *normalized = (rt_normalized){0};
}

/* While points are being made, `at` says that this one came out of the same character as the one before. */
static void push(rt_normalized *out, uint32_t point, uint32_t source, bool same) {
    out->points[out->count++] = (rt_point){point, source, same};
}

static bool is_syllable(uint32_t point) {
    return point - SYLLABLE < SYLLABLES;
}

static void push_syllable(rt_normalized *out, uint32_t point, uint32_t source) {
    uint32_t index = point - SYLLABLE, trailing = index % TRAILINGS;
    push(out, LEADING + index / (VOWELS * TRAILINGS), source, false);
    push(out, VOWEL + index % (VOWELS * TRAILINGS) / TRAILINGS, source, true);
    if (trailing != 0) push(out, TRAILING + trailing, source, true);
}

static uint32_t lower_of(const rt_normalizer *normalizer, const rt_unicode_row *row, uint32_t point) {
    return normalizer->lower ? (uint32_t)((int32_t)point + row->lower) : point;
}

/* Lower case may come first: it is a character for a character here, and none of them is a mark. */
static void push_stripped(const rt_normalizer *normalizer, rt_normalized *out, const rt_unicode_row *row,
                          uint32_t point, uint32_t source) {
    out->marked |= (row->flags & RT_MARK) || row->combining != 0 || row->length > 0;
    if (row->length == 0 && is_syllable(point)) {
        push_syllable(out, point, source);
    } else if (row->length == 0) {
        push(out, lower_of(normalizer, row, point), source, false);
    }
    for (size_t i = 0; i < row->length; i++) {
        uint32_t part = rt_unicode_parts[row->parts + i];
        push(out, lower_of(normalizer, rt_unicode(part), part), source, i > 0);
    }
}

/* Cleans and spaces one character, then decomposes it, makes it lower case or both. */
static void push_character(const rt_normalizer *normalizer, rt_normalized *out, uint32_t point,
                           uint32_t source) {
    const rt_unicode_row *row = rt_unicode(point);
    if (normalizer->clean && (row->flags & RT_REMOVED)) return;
    if (normalizer->clean && (row->flags & RT_BLANK)) {
        push(out, ' ', source, false);
        return;
    }
    bool spaced = normalizer->ideographs && (row->flags & RT_IDEOGRAPH);
    if (spaced) push(out, ' ', source, false);
    if (normalizer->strip) {
        push_stripped(normalizer, out, row, point, source);
    } else {
        push(out, lower_of(normalizer, row, point), source, false);
        if (point == DOTTED_CAPITAL_I && normalizer->lower) push(out, COMBINING_DOT, source, true);
    }
    if (spaced) push(out, ' ', source, false);
}

static uint8_t combining_of(const rt_point *point) {
    return rt_unicode(point->point)->combining;
}

/* Stable counting sort by combining class. */
static void sort_run(const rt_point *from, rt_point *to, size_t length) {
    size_t starts[256] = {0};
    for (size_t i = 0; i < length; i++) starts[combining_of(&from[i])]++;
    for (size_t class = 0, sum = 0; class < 256; class ++) {
        size_t count = starts[class];
        starts[class] = sum;
        sum += count;
    }
    for (size_t i = 0; i < length; i++) to[starts[combining_of(&from[i])]++] = from[i];
}

/* Puts a run of marks in canonical order. Sources do not move with the characters: Hugging Face hands them
 * out in the order in which characters come out, a new one to each that is not a further part of another. */
static bool order_run(rt_normalized *out, rt_point *run, size_t length, uint32_t source) {
    if (!rt_grow((void **)&out->spare, &out->spare_capacity, length, sizeof *out->spare)) return false;
    memcpy(out->spare, run, length * sizeof *run);
    sort_run(out->spare, run, length);
    const rt_point *next = out->spare;
    for (size_t i = 0; i < length; i++) {
        if (!run[i].at) {
            while (next->at) next++;
            source = next++->source;
        }
        run[i].source = source;
    }
    return true;
}

static bool order_marks(rt_normalized *out) {
    rt_point *points = out->points;
    for (size_t i = 0; i < out->count;) {
        size_t end = i;
        bool sorted = true;
        for (; end < out->count && combining_of(&points[end]) != 0; end++) {
            sorted = sorted && (end == i || combining_of(&points[end - 1]) <= combining_of(&points[end]));
        }
        uint32_t source = i > 0 ? points[i - 1].source : 0;
        if (!sorted && !order_run(out, points + i, end - i, source)) return false;
        i = end + 1;
    }
    return true;
}

static void drop_marks(rt_normalized *out) {
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        if (!(rt_unicode(out->points[i].point)->flags & RT_MARK)) out->points[kept++] = out->points[i];
    }
    out->count = kept;
}

static bool write_bytes(rt_normalized *out) {
    if (!rt_grow((void **)&out->bytes, &out->byte_capacity, 4 * out->count + RT_HASH_MARGIN, 1)) return false;
    size_t at = 0;
    for (size_t i = 0; i < out->count; i++) {
        out->points[i].at = (uint32_t)at;
        at += rt_utf8_put(out->bytes + at, out->points[i].point);
    }
    out->points[out->count] = (rt_point){.at = (uint32_t)at};
    return true;
}

bool rt_normalize(const rt_normalizer *normalizer, const uint8_t *text, size_t size, uint32_t source,
                  rt_normalized *out, uint32_t *next) {
    const uint8_t *end = text + size;
    out->count = 0;
    out->marked = false;
    if (!rt_grow((void **)&out->points, &out->point_capacity, POINTS_A_BYTE * size + 1,
                 sizeof *out->points)) {
        return false;
    }
    for (uint32_t point; text < end; source++) {
        if (*text >= 'a' && *text <= 'z') { /* most characters: they stay as they are */
            push(out, *text++, source, false);
            continue;
        }
        text += rt_utf8_take(text, end, &point);
        push_character(normalizer, out, point, source);
    }
    *next = source;
    if (out->marked) {
        if (!order_marks(out)) return false;
        drop_marks(out);
    }
    return write_bytes(out);
}
