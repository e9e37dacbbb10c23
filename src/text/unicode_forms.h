/* SPDX-License-Identifier: Apache-2.0
 * Properties of characters for normal forms and grapheme clusters. The tables are made by tools/unicode_forms.py, which
 * says which version of Unicode each comes from. */
#ifndef RT_TEXT_UNICODE_FORMS_H
#define RT_TEXT_UNICODE_FORMS_H

#include <stddef.h>
#include <stdint.h>

enum {
    RT_FORM_ATTACH = 1,  /* goes on with the grapheme cluster before it: Extend, ZWJ, SpacingMark */
    RT_FORM_PREPEND = 2, /* the cluster goes on behind it */
    RT_FORM_CONTROL = 4, /* a cluster of its own; CR and LF as well */
    RT_FORM_MARK = 8,    /* general category M */
    RT_FORM_SECOND = 16  /* may compose with a character before it */
};

typedef struct rt_unicode_form {
    uint16_t parts; /* compatible decomposition, in full: rt_form_parts[parts … parts + length) */
    uint8_t length; /* 0: does not decompose (Hangul syllables neither: they are arithmetic) */
    uint8_t flags;
} rt_unicode_form;

/* In the order of first, then second. */
typedef struct rt_form_pair {
    uint32_t first, second, composed;
} rt_form_pair;

extern const uint16_t rt_form_first[], rt_form_second[];
extern const rt_unicode_form rt_form_rows[];
extern const uint32_t rt_form_parts[];
extern const rt_form_pair rt_form_pairs[];
extern const size_t rt_form_pair_count;

/* `point` is below 0x110000. */
static inline const rt_unicode_form *rt_form(uint32_t point) {
    return &rt_form_rows[rt_form_second[rt_form_first[point >> 7] * 128u + (point & 127)]];
}

#endif
