/* SPDX-License-Identifier: Apache-2.0 */
#include "text/regex.h"

#include <string.h>

static size_t match_gpt2(const rt_point *points, size_t at, size_t to) {
    return rt_regex_gpt2(points, at, to);
}

static bool is_line_end(uint32_t point) {
    return point == '\r' || point == '\n';
}

enum { LONG_S = 0x17F }; /* is an s where case is ignored */

static uint32_t fold(uint32_t point) {
    if (point == LONG_S) return 's';
    return point >= 'A' && point <= 'Z' ? point + ('a' - 'A') : point;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d) */
static size_t contraction(const rt_point *points, size_t at, size_t to) {
    rt_point folded[3] = {points[at]};
    size_t count = rt_min(to - at, 3);
    if (points[at].point != '\'') return at;
    for (size_t i = 1; i < count; i++) folded[i].point = fold(points[at + i].point);
    size_t letters = rt_regex_contraction(folded, 0, count);
    return letters > 0 ? at + 1 + letters : at;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t lines_or_spaces(const rt_point *points, size_t at, size_t to) {
    size_t end = rt_regex_run(points, at, to, RT_SPACE);
    for (size_t line = end; line > at; line--) {
        if (is_line_end(points[line - 1].point)) return line;
    }
    return rt_regex_spaces(points, at, to);
}

/* Llama 3 and its kin: numbers are cut after `digits`. */
static inline size_t match_llama(const rt_point *points, size_t at, size_t to, size_t digits) {
    size_t end = contraction(points, at, to);
    if (end > at) return end;
    unsigned class = rt_regex_flags(points, at) & RT_REGEX_CLASSES;
    if (class == RT_LETTER) return rt_regex_run(points, at, to, RT_LETTER);
    if (class == RT_NUMBER) return rt_regex_run(points, at, rt_min(to, at + digits), RT_NUMBER);
    unsigned next = at + 1 < to ? rt_regex_flags(points, at + 1) & RT_REGEX_CLASSES : RT_SPACE;
    if (!is_line_end(points[at].point) && next == RT_LETTER)
        return rt_regex_run(points, at + 1, to, RT_LETTER);
    bool spaced = points[at].point == ' ' && next == 0;
    if (class == RT_SPACE && !spaced) return lines_or_spaces(points, at, to);
    end = rt_regex_run(points, at + spaced, to, 0);
    while (end < to && is_line_end(points[end].point)) end++;
    return end;
}

static size_t match_llama3(const rt_point *points, size_t at, size_t to) {
    return match_llama(points, at, to, 3);
}

static size_t match_qwen2(const rt_point *points, size_t at, size_t to) {
    return match_llama(points, at, to, 1);
}

static size_t match_spaces(const rt_point *points, size_t at, size_t to) {
    return rt_regex_flags(points, at) & RT_SPACE ? rt_regex_run(points, at, to, RT_SPACE) : at;
}

static size_t match_space(const rt_point *points, size_t at, size_t to) {
    (void)to;
    return at + ((rt_regex_flags(points, at) & RT_SPACE) != 0);
}

static size_t match_number(const rt_point *points, size_t at, size_t to) {
    (void)to;
    return at + ((rt_regex_flags(points, at) & RT_NUMBER) != 0);
}

static size_t match_numbers(const rt_point *points, size_t at, size_t to) {
    return rt_regex_flags(points, at) & RT_NUMBER ? rt_regex_run(points, at, to, RT_NUMBER) : at;
}

static size_t match_three_numbers(const rt_point *points, size_t at, size_t to) {
    return match_numbers(points, at, rt_min(to, at + 3));
}

#define LLAMA(numbers)                                                                                       \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers                                    \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct {
    const char *expression;
    rt_match_fn match;
} known[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", match_gpt2},
    {LLAMA("\\p{N}{1,3}"), match_llama3},
    {LLAMA("\\p{N}"), match_qwen2},
    {"\\s+", match_spaces},
    {"\\s", match_space},
    {"\\p{N}", match_number},
    {"\\p{N}+", match_numbers},
    {"\\p{N}{1,3}", match_three_numbers},
};

rt_match_fn rt_regex_find(const char *expression) {
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].expression, expression) == 0) return known[i].match;
    }
    return NULL;
}
