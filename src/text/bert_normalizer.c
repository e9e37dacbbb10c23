/* SPDX-License-Identifier: Apache-2.0
 * BertNormalizer: clean, space ideographs, strip accents, lower case, in this order. */
#include "text/steps.h"

#include "text/unicode.h"
#include "base/hash.h"
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
enum { POINTS_A_BYTE = 2, POINTS_A_CHARACTER = 6 }; /* 4 parts at most, 2 spaces */

typedef struct bert_normalizer {
    bool clean, ideographs, strip, lower;
    bool idle; /* none of them */
} bert_normalizer;

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

static uint32_t lower_of(const bert_normalizer *normalizer, const rt_unicode_row *row, uint32_t point) {
    return normalizer->lower ? (uint32_t)((int32_t)point + row->lower) : point;
}

/* Lower case may come first: it is a character for a character here, and none of them is a mark. */
static void push_stripped(const bert_normalizer *normalizer, rt_normalized *out, const rt_unicode_row *row,
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
static void push_character(const bert_normalizer *normalizer, rt_normalized *out, uint32_t point,
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

/* Sources of a run of marks that was put in order. They do not move with the characters: Hugging Face hands them
 * out in the order in which characters come out, a new one to each that is not a further part of another.
 * before: [length] the run as it was */
static void hand_out_sources(rt_point *run, const rt_point *before, size_t length, uint32_t source) {
    for (size_t i = 0; i < length; i++) {
        if (!run[i].at) {
            while (before->at) before++;
            source = before++->source;
        }
        run[i].source = source;
    }
}

static bool order_marks(rt_normalized *out) {
    rt_point *points = out->points;
    for (size_t i = 0, length = 0; i < out->count; i += length + 1, length = 0) {
        bool moved;
        if (rt_point_combining(&points[i]) == 0) continue;
        if (!rt_marks_order(out, i, &length, &moved)) return false;
        if (moved) hand_out_sources(points + i, out->spare, length, i > 0 ? points[i - 1].source : 0);
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

static bool finish_marks(rt_normalized *out) {
    if (!out->marked) return true;
    if (!order_marks(out)) return false;
    drop_marks(out);
    return true;
}

/* Most words are lower-case letters of ASCII, which stay as they are: points and bytes at once. */
static size_t copy_letters(rt_normalized *out, const uint8_t *text, size_t size, uint32_t source) {
    rt_point *points = out->points;
    uint8_t *bytes = out->bytes;
    size_t count = 0;
    for (; count < size && text[count] >= 'a' && text[count] <= 'z'; count++) {
        points[count] = (rt_point){text[count], source + (uint32_t)count, (uint32_t)count};
        bytes[count] = text[count];
    }
    return count;
}

/* Characters as they are: points and bytes at once. */
static void copy_text(rt_normalized *out, const uint8_t *text, size_t size, uint32_t source) {
    const uint8_t *end = text + size;
    rt_point *points = out->points;
    uint8_t *bytes = out->bytes;
    while (text < end) {
        uint32_t point = *text;
        text += point < 0x80 ? 1 : rt_utf8_take(text, end, &point);
        *points++ = (rt_point){point, source++, (uint32_t)(bytes - out->bytes)};
        bytes += rt_utf8_put(bytes, point);
    }
    *points = (rt_point){.at = (uint32_t)(bytes - out->bytes)};
    out->count = (size_t)(points - out->points);
}

/* Room for points and bytes; most words fit into what earlier ones have needed. */
static bool reserve(rt_normalized *out, size_t points, size_t bytes) {
    return (points <= out->point_capacity ||
            rt_grow((void **)&out->points, &out->point_capacity, points, sizeof *out->points)) &&
           (bytes <= out->byte_capacity || rt_grow((void **)&out->bytes, &out->byte_capacity, bytes, 1));
}

static bool run(const void *data, const uint8_t *text, size_t size, uint32_t source, rt_normalized *out,
                uint32_t *next) {
    const bert_normalizer *normalizer = data;
    const uint8_t *end = text + size;
    if (!reserve(out, POINTS_A_BYTE * size + 1, 4 * size + RT_HASH_MARGIN)) return false;
    if (normalizer->idle) {
        copy_text(out, text, size, source);
        *next = source + (uint32_t)out->count;
        return true;
    }
    size_t letters = copy_letters(out, text, size, source);
    text += letters;
    source += (uint32_t)letters;
    out->count = letters;
    out->marked = false;
    for (uint32_t point; text < end; source++) {
        if (*text >= 'a' && *text <= 'z') {
            push(out, *text++, source, false);
            continue;
        }
        text += rt_utf8_take(text, end, &point);
        push_character(normalizer, out, point, source);
    }
    *next = source;
    return finish_marks(out) && rt_normalized_write(out, letters);
}

static bool step(const void *data, rt_normalized *text) {
    size_t count;
    const rt_point *in = rt_step_begin(text, &count, text->count);
    if (in == NULL) return false;
    text->marked = false;
    for (size_t i = 0; i < count; i++) {
        if (!rt_step_room(text, POINTS_A_CHARACTER)) return false;
        push_character(data, text, in[i].point, in[i].source);
    }
    return finish_marks(text);
}

/* `part` NULL: nothing is switched on. */
static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    bert_normalizer *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    bool on = part != NULL;
    retort_status status = rt_component_flag(in, part, "lowercase", on, &data->lower);
    if (status == RETORT_OK) status = rt_component_flag(in, part, "clean_text", on, &data->clean);
    if (status == RETORT_OK)
        status = rt_component_flag(in, part, "handle_chinese_chars", on, &data->ideographs);
    if (status == RETORT_OK) status = rt_component_flag(in, part, "strip_accents", data->lower, &data->strip);
    data->idle = !data->clean && !data->ideographs && !data->strip && !data->lower;
    out->data = data;
    out->lower = data->lower;
    out->strip = data->strip;
    out->ideographs = data->ideographs;
    return status;
}

const rt_normalizer_row rt_bert_normalizer_row = {
    .type = "BertNormalizer", .read = read_part, .step = step, .run = run, .local = true};
