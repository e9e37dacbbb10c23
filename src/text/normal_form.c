/* SPDX-License-Identifier: Apache-2.0
 * NFC, NFD, NFKC and NFKD of Unicode 9.0: decomposition, canonical order, composition (Unicode 15.0, 3.11; UAX #15). */
#include "text/steps.h"

#include "text/unicode.h"
#include "text/unicode_forms.h"

#include <string.h>

/* Hangul syllables are arithmetic: Unicode 15.0, 3.12. */
enum {
    SYLLABLE = 0xAC00,
    LEADING = 0x1100,
    VOWEL = 0x1161,
    TRAILING = 0x11A7,
    LEADINGS = 19,
    VOWELS = 21,
    TRAILINGS = 28,
    SYLLABLES = 11172
};
enum { PARTS_MAX = 18 }; /* of U+FDFA; the longest decomposition */

/* Below this code point no character changes, nor does it take part in a change. */
enum { COMPOSED_FROM = 0x300, COMPATIBLE_FROM = 0xA0, DECOMPOSED_FROM = 0xC0 };

typedef struct normal_form {
    bool compatible, composed;
    uint32_t from;
} normal_form;

static void put_syllable(rt_normalized *text, uint32_t point) {
    uint32_t index = point - SYLLABLE, trailing = index % TRAILINGS;
    rt_step_put(text, LEADING + index / (VOWELS * TRAILINGS), 0);
    rt_step_put(text, VOWEL + index % (VOWELS * TRAILINGS) / TRAILINGS, 1);
    if (trailing != 0) rt_step_put(text, TRAILING + trailing, 1);
}

static void put_parts(rt_normalized *text, const uint32_t *parts, size_t count) {
    for (size_t i = 0; i < count; i++) rt_step_put(text, parts[i], i > 0);
}

static void put_decomposed(rt_normalized *text, uint32_t point, bool compatible) {
    const rt_unicode_row *row = rt_unicode(point);
    const rt_unicode_form *form = rt_form(point);
    if (point - SYLLABLE < SYLLABLES) {
        put_syllable(text, point);
    } else if (compatible && form->length > 0) {
        put_parts(text, rt_form_parts + form->parts, form->length);
    } else if (row->length > 0) {
        put_parts(text, rt_unicode_parts + row->parts, row->length);
    } else {
        rt_step_put(text, point, 0);
    }
}

/* Characters take their changes with them. */
static bool order_marks(rt_normalized *text) {
    bool moved;
    for (size_t i = 0, length = 0; i < text->count; i += length + 1, length = 0) {
        if (rt_point_combining(&text->points[i]) == 0) continue;
        if (!rt_marks_order(text, i, &length, &moved)) return false;
    }
    return true;
}

/* 0: they do not compose. */
static uint32_t composed_of(uint32_t first, uint32_t second) {
    if (first - LEADING < LEADINGS && second - VOWEL < VOWELS)
        return SYLLABLE + ((first - LEADING) * VOWELS + (second - VOWEL)) * TRAILINGS;
    if (first - SYLLABLE < SYLLABLES && (first - SYLLABLE) % TRAILINGS == 0 && second > TRAILING &&
        second < TRAILING + TRAILINGS)
        return first + (second - TRAILING);
    size_t low = 0, high = rt_form_pair_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const rt_form_pair *pair = &rt_form_pairs[middle];
        if (pair->first < first || (pair->first == first && pair->second < second)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const rt_form_pair *pair = &rt_form_pairs[rt_min(low, rt_form_pair_count - 1)];
    return pair->first == first && pair->second == second ? pair->composed : 0;
}

/* Each character composes with the last starter, unless another of the same or a higher class, or a starter, stands
 * between them. */
static void compose(rt_normalized *text) {
    rt_point *points = text->points;
    size_t kept = 0, starter = SIZE_MAX;
    int last = -1; /* class of the character before, -1 right behind the starter */
    for (size_t i = 0; i < text->count; i++) {
        rt_point point = points[i];
        int class = rt_point_combining(&point);
        bool may = starter != SIZE_MAX && last < class && (last >= 0 || class != 0 || kept == starter + 1);
        uint32_t composed = may && (rt_form(point.point)->flags & RT_FORM_SECOND)
                                ? composed_of(points[starter].point, point.point)
                                : 0;
        if (composed != 0) {
            points[starter].point = composed;
            points[starter].at += point.at - 1;
            continue;
        }
        if (class == 0) {
            starter = kept;
            last = -1;
        } else if (starter != SIZE_MAX) {
            last = class;
        }
        points[kept++] = point;
    }
    text->count = kept;
}

/* Most texts have long parts that no form changes. */
static bool is_plain(const normal_form *form, const rt_normalized *text) {
    uint32_t all = 0;
    for (size_t i = 0; i < text->count; i++) all |= text->points[i].point;
    if (all < 0x80) return true;
    for (size_t i = 0; i < text->count; i++) {
        if (text->points[i].point >= form->from) return false;
    }
    return true;
}

static bool step(const void *data, rt_normalized *text) {
    const normal_form *form = data;
    size_t count;
    if (is_plain(form, text)) return true;
    const rt_point *in = rt_step_begin(text, &count, text->count);
    if (in == NULL) return false;
    for (size_t i = 0; i < count; i++) {
        if (!rt_step_room(text, PARTS_MAX)) return false;
        put_decomposed(text, in[i].point, form->compatible);
    }
    if (!order_marks(text)) return false;
    if (form->composed) compose(text);
    rt_step_end(text, in, count, 0);
    return true;
}

/* The name of a row, its type, its form. */
#define NORMAL_FORM(NAME, TYPE, ...)                                                                         \
    static retort_status read_##NAME(const rt_component_reader *in, const json_t *part,                      \
                                     rt_normalizer *out) {                                                   \
        static const normal_form form = {__VA_ARGS__};                                                       \
        (void)in, (void)part;                                                                                \
        out->data = &form;                                                                                   \
        return RETORT_OK;                                                                                    \
    }                                                                                                        \
    const rt_normalizer_row rt_##NAME##_row = {.type = TYPE, .read = read_##NAME, .step = step};

NORMAL_FORM(nfc, "NFC", .composed = true, .from = COMPOSED_FROM)
NORMAL_FORM(nfd, "NFD", .from = DECOMPOSED_FROM)
NORMAL_FORM(nfkc, "NFKC", .compatible = true, .composed = true, .from = COMPATIBLE_FROM)
NORMAL_FORM(nfkd, "NFKD", .compatible = true, .from = COMPATIBLE_FROM)
