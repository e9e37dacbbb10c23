/* SPDX-License-Identifier: Apache-2.0
 * ByteLevel: the pieces of a model are bytes, each spelled as a character that can be seen. Bytes 21–7E, A1–AC and
 * AE–FF are the characters of the same number; the other 68, in ascending order, are those from U+0100 on. */
#ifndef RT_TEXT_BYTE_LEVEL_H
#define RT_TEXT_BYTE_LEVEL_H

#include "text/component.h"

enum { RT_BYTE_SPACE = 0x120 }; /* how a space is spelled: Ġ */

/* The characters of all bytes, in UTF-8: one or two bytes each. */
typedef struct rt_spelling {
    uint8_t text[256][2], length[256];
} rt_spelling;
void rt_spelling_make(rt_spelling *spelling);
/* The byte that a character spells, or -1. */
int rt_byte_of_spelling(uint32_t point);

/* What a pre-tokenizer ByteLevel does. */
typedef struct rt_byte_level {
    bool prefix; /* a space is put before a word that has none */
    bool regex;  /* words are cut as GPT-2 does */
} rt_byte_level;

#endif
