/* SPDX-License-Identifier: Apache-2.0
 * Finds the added tokens of a text, which are cut out of it. */
#ifndef RT_TEXT_PATTERN_H
#define RT_TEXT_PATTERN_H

#include "base/error.h"
#include "base/memory.h"

typedef struct rt_added_token {
    const char *content; /* as in the file */
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} rt_added_token;

/* What is looked for: the content of a token, or its normalised form. */
typedef struct rt_pattern {
    const uint8_t *bytes;
    size_t length;
    const rt_added_token *token;
} rt_pattern;

/* Patterns in the order of their bytes, no two equal. */
typedef struct rt_patterns {
    rt_pattern *items;
    size_t count;
    size_t from[257]; /* patterns that begin with byte b: items[from[b] … from[b + 1]) */
    uint8_t only;     /* the one first byte, if there is but one */
    bool one;
} rt_patterns;

/* Sorts `items` (which must outlive the set). Of two equal patterns the one that comes first wins. */
void rt_patterns_open(rt_patterns *patterns, rt_pattern *items, size_t count);

/* A walk over the matches of a text: leftmost, of those the longest, without overlap. */
typedef struct rt_scan {
    const uint8_t *text;
    size_t size;
    size_t at;   /* where the search goes on */
    size_t done; /* end of the last match, with the white space it took */
    bool special_as_text;
    size_t blank_from, blank_to; /* white space that rstrip has met last */
} rt_scan;
typedef struct rt_match {
    const rt_added_token *token;
    size_t start, end; /* bytes, with white space taken by lstrip and rstrip */
    size_t to;         /* where the pattern ends: behind it is white space that many matches may share */
} rt_match;
/* The next match; text in [scan.done before the call, match.start) lies between. start may be before that
 * done when rstrip took what the next token begins with. */
bool rt_scan_next(const rt_patterns *patterns, rt_scan *scan, rt_match *match);

#endif
