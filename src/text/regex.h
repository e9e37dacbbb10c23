/* SPDX-License-Identifier: Apache-2.0
 * The regular expressions that tokenizer files use, each as a function: their patterns never backtrack, so they need
 * no engine. What each does is Oniguruma's, with its classes of characters (unicode.h). */
#ifndef RT_TEXT_REGEX_H
#define RT_TEXT_REGEX_H

#include "text/component.h"
#include "text/unicode.h"

/* The end of the match that begins at points[at], or `at` where none does. at < to. */
typedef size_t (*rt_match_fn)(const rt_point *points, size_t at, size_t to);

static inline unsigned rt_regex_flags(const rt_point *points, size_t at) {
    return rt_unicode(points[at].point)->flags;
}

enum { RT_REGEX_CLASSES = RT_SPACE | RT_LETTER | RT_NUMBER };

/* The end of the run of characters of this class, of which points[at] is the first. */
static inline size_t rt_regex_run(const rt_point *points, size_t at, size_t to, unsigned class) {
    do at++;
    while (at < to && (rt_regex_flags(points, at) & RT_REGEX_CLASSES) == class);
    return at;
}

/* Letters behind an apostrophe at points[at] that are a contraction: 0, 1 or 2. */
static inline size_t rt_regex_contraction(const rt_point *points, size_t at, size_t to) {
    uint32_t first = at + 1 < to ? points[at + 1].point : 0, second = at + 2 < to ? points[at + 2].point : 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1;
    bool two =
        (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
    return two ? 2 : 0;
}

/* \s+(?!\S)|\s+: all of the run at the end of the text, else without the last character, unless it is the only one. */
static inline size_t rt_regex_spaces(const rt_point *points, size_t at, size_t to) {
    size_t end = rt_regex_run(points, at, to, RT_SPACE);
    return end < to && end - at > 1 ? end - 1 : end;
}

/* The expression of GPT-2, which matches everywhere:
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static inline size_t rt_regex_gpt2(const rt_point *points, size_t at, size_t to) {
    uint32_t point = points[at].point;
    size_t letters = point == '\'' ? rt_regex_contraction(points, at, to) : 0;
    if (letters > 0) return at + 1 + letters;
    size_t from = at + (point == ' ' && at + 1 < to);
    unsigned class = rt_regex_flags(points, from) & RT_REGEX_CLASSES;
    if (class != RT_SPACE) return rt_regex_run(points, from, to, class);
    return rt_regex_spaces(points, at, to);
}

/* The function of a known expression, or NULL. */
rt_match_fn rt_regex_find(const char *expression);

#endif
