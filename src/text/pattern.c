/* SPDX-License-Identifier: Apache-2.0 */
#include "text/pattern.h"

#include "text/unicode.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const rt_pattern *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, rt_min(x->length, y->length));
    if (order != 0) return order;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

/* Of equal neighbours only the first stays. */
static size_t drop_equal(rt_pattern *items, size_t count) {
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        const rt_pattern *last = &items[kept - 1];
        bool equal =
            last->length == items[i].length && memcmp(last->bytes, items[i].bytes, last->length) == 0;
        if (!equal) items[kept++] = items[i];
    }
    return kept;
}

void rt_patterns_open(rt_patterns *patterns, rt_pattern *items, size_t count) {
    *patterns = (rt_patterns){.items = items};
    if (count == 0) return;
    qsort(items, count, sizeof *items, compare);
    patterns->count = count = drop_equal(items, count);
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

/* The first of items [low, high) whose byte at `depth` is `least` or more. */
static size_t lower_bound(const rt_pattern *items, size_t low, size_t high, size_t depth, unsigned least) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (items[middle].bytes[depth] < least) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest pattern that begins here: byte by byte, the patterns that go on as the text does are a range of
 * the sorted ones, of which the shortest comes first. The time does not depend on how many there are. */
static const rt_pattern *match_at(const rt_patterns *patterns, const rt_scan *scan, size_t at) {
    const rt_pattern *items = patterns->items, *found = NULL;
    const uint8_t *text = scan->text + at;
    size_t low = patterns->from[text[0]], high = patterns->from[text[0] + 1];
    for (size_t depth = 1; low < high; depth++) {
        if (items[low].length == depth) found = &items[low++];
        if (low == high || depth == scan->size - at) break;
        uint8_t byte = text[depth];
        if (items[low].bytes[depth] != byte) low = lower_bound(items, low, high, depth, byte);
        if (low < high && items[high - 1].bytes[depth] != byte) {
            high = lower_bound(items, low, high, depth, byte + 1u);
        }
    }
    return found;
}

static unsigned flags_at(const rt_scan *scan, size_t at, size_t *length) {
    uint32_t point;
    *length = rt_utf8_take(scan->text + at, scan->text + scan->size, &point);
    return rt_unicode(point)->flags;
}

/* Flags of the character that ends at `at`, and its length. */
static unsigned flags_before(const rt_scan *scan, size_t at, size_t *length) {
    size_t start = at - 1;
    while (start > 0 && at - start < 4 && (scan->text[start] & 0xC0) == 0x80) start--;
    unsigned flags = flags_at(scan, start, length);
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
    while (at > scan->done && (flags_before(scan, at, &length) & RT_SPACE)) at -= length;
    return rt_max(at, scan->done);
}

/* White space is walked through once, however many tokens stand in it. */
static size_t strip_right(rt_scan *scan, size_t end) {
    size_t length;
    if (end >= scan->blank_from && end <= scan->blank_to) return scan->blank_to;
    scan->blank_from = end;
    while (end < scan->size && (flags_at(scan, end, &length) & RT_SPACE)) end += length;
    scan->blank_to = end;
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
        match->to = scan->at;
        match->start = pattern->token->lstrip ? strip_left(scan, start) : start;
        match->end = pattern->token->rstrip ? strip_right(scan, scan->at) : scan->at;
        match->start = rt_min(match->start, match->end);
        scan->done = match->end;
        return true;
    }
    return false;
}
