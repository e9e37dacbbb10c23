/* SPDX-License-Identifier: Apache-2.0 */
#include "text/added.h"

#include "text/unicode.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const rt_pattern *x = a, *y = b;
    if (x->bytes[0] != y->bytes[0]) return x->bytes[0] < y->bytes[0] ? -1 : 1;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    int order = memcmp(x->bytes, y->bytes, x->length);
    if (order != 0) return order;
    return x->token < y->token ? -1 : x->token > y->token;
}

void rt_patterns_open(rt_patterns *patterns, rt_pattern *items, size_t count) {
    *patterns = (rt_patterns){.items = items, .count = count};
    if (count == 0) return;
    qsort(items, count, sizeof *items, compare);
    for (size_t i = 0; i < count; i++) patterns->from[items[i].bytes[0] + 1] = i + 1;
    for (size_t b = 1; b < 257; b++) patterns->from[b] = rt_max(patterns->from[b], patterns->from[b - 1]);
    patterns->only = items[0].bytes[0];
    patterns->one = items[0].bytes[0] == items[count - 1].bytes[0];
}

/* Where a pattern may begin, at or after `at`; size when nowhere. */
static size_t next_candidate(const rt_patterns *patterns, const rt_scan *scan, size_t at) {
    if (patterns->count == 0 || at >= scan->size) return scan->size;
    if (patterns->one) {
        const uint8_t *found = memchr(scan->text + at, patterns->only, scan->size - at);
        return found != NULL ? (size_t)(found - scan->text) : scan->size;
    }
    while (at < scan->size && patterns->from[scan->text[at]] == patterns->from[scan->text[at] + 1]) at++;
    return at;
}

static const rt_pattern *match_at(const rt_patterns *patterns, const rt_scan *scan, size_t at) {
    uint8_t first = scan->text[at];
    for (size_t i = patterns->from[first]; i < patterns->from[first + 1]; i++) {
        const rt_pattern *pattern = &patterns->items[i];
        if (pattern->length <= scan->size - at &&
            memcmp(pattern->bytes, scan->text + at, pattern->length) == 0) {
            return pattern;
        }
    }
    return NULL;
}

static uint8_t flags_at(const rt_scan *scan, size_t at, size_t *length) {
    uint32_t point;
    *length = rt_utf8_take(scan->text + at, scan->text + scan->size, &point);
    return rt_unicode(point)->flags;
}

/* Flags of the character that ends at `at`, and its length. */
static uint8_t flags_before(const rt_scan *scan, size_t at, size_t *length) {
    size_t start = at - 1;
    while (start > 0 && at - start < 4 && (scan->text[start] & 0xC0) == 0x80) start--;
    uint8_t flags = flags_at(scan, start, length);
    if (start + *length == at) return flags;
    *length = 1;
    return rt_unicode(RT_REPLACEMENT)->flags;
}

static bool is_single_word(const rt_scan *scan, size_t start, size_t end) {
    size_t length;
    bool before = start > 0 && (flags_before(scan, start, &length) & RT_WORD);
    bool after = end < scan->size && (flags_at(scan, end, &length) & RT_WORD);
    return !before && !after;
}

static size_t strip_left(const rt_scan *scan, size_t start) {
    size_t length, at = start;
    while (at > 0 && (flags_before(scan, at, &length) & RT_SPACE)) at -= length;
    return rt_max(at, scan->done);
}

static size_t strip_right(const rt_scan *scan, size_t end) {
    size_t length;
    while (end < scan->size && (flags_at(scan, end, &length) & RT_SPACE)) end += length;
    return end;
}

bool rt_scan_next(const rt_patterns *patterns, rt_scan *scan, rt_match *match) {
    while ((scan->at = next_candidate(patterns, scan, scan->at)) < scan->size) {
        size_t start = scan->at;
        const rt_pattern *pattern = match_at(patterns, scan, start);
        scan->at += pattern != NULL ? pattern->length : 1;
        if (pattern == NULL || (scan->special_as_text && pattern->token->special)) continue;
        if (pattern->token->single_word && !is_single_word(scan, start, scan->at)) continue;
        match->token = pattern->token;
        match->start = pattern->token->lstrip ? strip_left(scan, start) : start;
        match->end = pattern->token->rstrip ? strip_right(scan, scan->at) : scan->at;
        match->start = rt_min(match->start, match->end);
        scan->done = match->end;
        return true;
    }
    return false;
}
