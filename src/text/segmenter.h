/* SPDX-License-Identifier: Apache-2.0
 * Cuts a text into segments that no component looks beyond: what stands between ASCII white space, ASCII
 * punctuation and ideographs. It can, where normalizer, pre-tokenizer and model are local: canonical ordering stops
 * at these characters, and each of them ends a word; punctuation and ideographs are words of their own, and the model
 * makes the piece of one character of it, or the unknown token. So the tokens of a segment can be remembered. */
#ifndef RT_TEXT_SEGMENTER_H
#define RT_TEXT_SEGMENTER_H

#include "text/component.h"

enum { RT_IDEOGRAPH_FIRST = 0x4E00, RT_IDEOGRAPH_LAST = 0x9FFF };

typedef enum rt_byte_class {
    RT_BYTE_INSIDE,      /* part of a segment */
    RT_BYTE_BLANK,       /* space, \t, \n, \r */
    RT_BYTE_PUNCTUATION, /* ASCII, a word of its own */
    RT_BYTE_LEAD         /* may begin an ideograph, which is a segment of its own */
} rt_byte_class;

typedef struct rt_segmenter {
    bool local;               /* all components are; else the other fields are 0 */
    uint8_t classes[256];     /* rt_byte_class */
    int32_t punctuation[128]; /* ids of the ASCII punctuation */
    int32_t *ideographs;      /* ids of U+4E00 … U+9FFF; NULL when they are not spaced */
} rt_segmenter;
/* False when out of memory. */
bool rt_segmenter_open(rt_segmenter *segmenter, const rt_normalizer *normalizer,
                       const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model);
void rt_segmenter_close(rt_segmenter *segmenter);

#endif
