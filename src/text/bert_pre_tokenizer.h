/* SPDX-License-Identifier: Apache-2.0
 * BertPreTokenizer: words end at white space, and each punctuation mark is a word of its own. */
#ifndef RT_TEXT_BERT_PRE_TOKENIZER_H
#define RT_TEXT_BERT_PRE_TOKENIZER_H

#include "text/component.h"
#include "text/unicode.h"

static inline bool rt_bert_next_word(const void *data, const rt_normalized *text, size_t *at, size_t to,
                                     rt_word *word) {
    enum { CUTS = RT_SPACE | RT_PUNCTUATION };
    const rt_point *points = text->points;
    (void)data;
    size_t from = *at;
    while (from < to && (rt_unicode(points[from].point)->flags & RT_SPACE)) from++;
    if (from == to) return false;
    size_t end = from + 1;
    if (!(rt_unicode(points[from].point)->flags & RT_PUNCTUATION)) {
        while (end < to && !(rt_unicode(points[end].point)->flags & CUTS)) end++;
    }
    *word = (rt_word){from, end};
    *at = end;
    return true;
}

#endif
