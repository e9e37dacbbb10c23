/* SPDX-License-Identifier: Apache-2.0
 * WhitespaceSplit: words end at white space. */
#include "text/component.h"
#include "text/unicode.h"

static bool next(const void *data, const rt_normalized *text, size_t *at, size_t to, rt_word *word) {
    const rt_point *points = text->points;
    (void)data;
    size_t from = *at;
    while (from < to && (rt_unicode(points[from].point)->flags & RT_SPACE)) from++;
    size_t end = from;
    while (end < to && !(rt_unicode(points[end].point)->flags & RT_SPACE)) end++;
    *word = (rt_word){from, end};
    *at = end;
    return end > from;
}

const rt_pre_tokenizer_row rt_whitespace_split_row = {.type = "WhitespaceSplit", .next = next};
