/* SPDX-License-Identifier: Apache-2.0
 * Whitespace: words are runs of word characters, and runs of others that are not white space (\w+|[^\w\s]+). */
#include "text/component.h"
#include "text/unicode.h"

static bool next(const void *data, const rt_normalized *text, size_t *at, size_t to, rt_word *word) {
    const rt_point *points = text->points;
    (void)data;
    size_t from = *at;
    while (from < to && (rt_unicode(points[from].point)->flags & RT_SPACE)) from++;
    if (from == to) return false;
    unsigned class = rt_unicode(points[from].point)->flags & (RT_WORD | RT_SPACE);
    size_t end = from + 1;
    while (end < to && (rt_unicode(points[end].point)->flags & (RT_WORD | RT_SPACE)) == class) end++;
    *word = (rt_word){from, end};
    *at = end;
    return true;
}

const rt_pre_tokenizer_row rt_whitespace_row = {.type = "Whitespace", .next = next};
