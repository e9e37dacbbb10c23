/* SPDX-License-Identifier: Apache-2.0
 * Added tokens: strings that are one token wherever they stand in a text (special tokens, domain words). */
#ifndef RT_TEXT_ADDED_H
#define RT_TEXT_ADDED_H

#include "base/names.h"
#include "text/component.h"
#include "text/pattern.h"

typedef struct rt_added {
    rt_added_token *tokens; /* [count] special ones first */
    size_t count;
    rt_names ids;                /* of their contents */
    const char **beyond;         /* contents of the tokens beyond the vocabulary, from its first free id on */
    rt_patterns raw, normalized; /* what to find before and after normalization */
    uint8_t *special;            /* [info.pieces] 1: the id of a special token */
} rt_added;

/* Fills in->tokenizer->added; normalizer and model have been read. */
retort_status rt_added_read(const rt_component_reader *in, const json_t *list);

#endif
