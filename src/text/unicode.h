/* SPDX-License-Identifier: Apache-2.0
 * Properties of characters, as the tokenizer needs them. The tables are made by tools/unicode_table.py, which
 * says which version of Unicode each comes from. */
#ifndef RT_TEXT_UNICODE_H
#define RT_TEXT_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RT_REMOVED = 1,     /* deleted by clean_text */
    RT_BLANK = 2,       /* made a space by clean_text */
    RT_SPACE = 4,       /* White_Space: splits words */
    RT_PUNCTUATION = 8, /* a word of its own */
    RT_IDEOGRAPH = 16,  /* gets spaces by handle_chinese_chars */
    RT_MARK = 32,       /* deleted by strip_accents */
    RT_WORD = 64,       /* \w of Rust's regex crate */
    RT_LETTER = 128,    /* \p{L} of Oniguruma */
    RT_NUMBER = 256,    /* \p{N} of Oniguruma */
    RT_NUMERIC = 512    /* char::is_numeric of Rust */
};

typedef struct rt_unicode_row {
    int32_t lower;  /* lower case minus the character itself */
    uint16_t parts; /* canonical decomposition: rt_unicode_parts[parts … parts + length) */
    uint16_t flags;
    uint8_t combining; /* canonical combining class */
    uint8_t length;    /* 0: does not decompose (Hangul syllables neither: they are arithmetic) */
} rt_unicode_row;

extern const uint16_t rt_unicode_first[], rt_unicode_second[];
extern const rt_unicode_row rt_unicode_rows[];
extern const uint32_t rt_unicode_parts[];

/* `point` is below 0x110000. */
static inline const rt_unicode_row *rt_unicode(uint32_t point) {
    return &rt_unicode_rows[rt_unicode_second[rt_unicode_first[point >> 7] * 128u + (point & 127)]];
}

#endif
