/* SPDX-License-Identifier: Apache-2.0
 * From a text to its tokens. Two ways give the same: the text as a whole, and segment by segment (segmenter.h), whose
 * tokens are remembered. Only added tokens that are looked for in the normalized text need the whole. Where no segments
 * can be told apart, the model remembers words. */
#include "text/state.h"

#include "text/byte_level.h"
#include "text/unicode.h"
#include "base/utf8.h"

#include <string.h>

/* White space that a text begins and ends with; spelled spaces are some, too. Returns its number of characters. */
static uint32_t measure_space(rt_token *token, const uint8_t *text, size_t size) {
    uint32_t count = 0;
    for (size_t at = 0; at < size; count++) {
        uint32_t point;
        at += rt_utf8_take(text + at, text + size, &point);
        bool space = point == RT_BYTE_SPACE || (rt_unicode(point)->flags & RT_SPACE);
        token->before += space && token->before == count;
        token->after = space ? token->after + 1 : 0;
    }
    return count;
}

/* The same of an added token of `total` characters, without a look at what rstrip took: many may share it. */
static void measure_match(rt_token *token, const uint8_t *text, const rt_match *match, uint32_t total) {
    uint32_t count =
        measure_space(token, text + match->start, rt_max(match->to, match->start) - match->start);
    token->after += total - count;
    if (token->before == count) token->before = total;
}

/* Of ASCII letters and the like, but for a spelled space in front: most pieces. */
static bool is_simple(const uint8_t *text, size_t length, bool *spaced) {
    *spaced = length > 2 && text[0] == 0xC4 && text[1] == 0xA0;
    text += *spaced ? 2 : 0;
    length -= *spaced ? 2 : 0;
    return length > 0 && text[0] > ' ' && text[0] < 0x80 && text[length - 1] > ' ' && text[length - 1] < 0x80;
}

/* Of pieces from the token `from` on. Most have no space but one in front. */
static void measure_pieces(const rt_walk *walk, size_t from) {
    const rt_token_model *model = &walk->tokenizer->model;
    for (size_t i = from; i < walk->tokens->count; i++) {
        size_t length;
        rt_token *token = &walk->tokens->data[i];
        const char *piece = rt_token_model_piece(model, (size_t)token->id, &length);
        bool spaced;
        if (is_simple((const uint8_t *)piece, length, &spaced)) {
            token->before = spaced;
        } else {
            measure_space(token, (const uint8_t *)piece, length);
        }
    }
}

static bool push(rt_walk *walk, int32_t id, uint32_t points) {
    rt_token token = {.id = id, walk->point, walk->point + points, walk->word++};
    walk->point += points;
    return rt_tokens_push(walk->tokens, token);
}

/* ---- The text as a whole ------------------------------------------------------------------------------ */

/* The point whose UTF-8 begins at byte `at`. */
static size_t point_at(const rt_normalized *text, size_t at) {
    size_t low = 0, high = text->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (text->points[middle].at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool split_words(rt_walk *walk, size_t from, size_t to) {
    const rt_tokenizer *tokenizer = walk->tokenizer;
    size_t first = walk->tokens->count;
    bool fine = tokenizer->split(&tokenizer->pre_tokenizer, &tokenizer->model, walk->normalized, from, to,
                                 walk->tokens, &walk->word);
    if (fine && walk->measured) measure_pieces(walk, first);
    return fine;
}

static bool walk_whole(rt_walk *walk, const uint8_t *text, size_t size) {
    const rt_tokenizer *tokenizer = walk->tokenizer;
    rt_normalized *normalized = walk->normalized;
    if (!rt_normalize(&tokenizer->normalizer, text, size, walk->point, normalized, &walk->point))
        return false;
    size_t done = 0;
    rt_scan scan = {normalized->bytes, normalized->points[normalized->count].at,
                    .special_as_text = walk->special_as_text};
    for (rt_match match; rt_scan_next(&tokenizer->added.normalized, &scan, &match);) {
        size_t start = point_at(normalized, match.start), end = point_at(normalized, match.end);
        if (start > done && !split_words(walk, done, start)) return false;
        done = end;
        if (start == end) continue;
        rt_token token = {.id = match.token->id,
                          normalized->points[start].source,
                          normalized->points[end - 1].source + 1,
                          walk->word++};
        if (walk->measured) measure_space(&token, normalized->bytes + match.start, match.end - match.start);
        if (!rt_tokens_push(walk->tokens, token)) return false;
    }
    return split_words(walk, done, normalized->count);
}

/* ---- Segment by segment --------------------------------------------------------------------------------- */

static bool recall(rt_walk *walk, const rt_segment *segment) {
    rt_tokens *tokens = walk->tokens;
    size_t need = tokens->count + segment->count;
    if (!rt_grow((void **)&tokens->data, &tokens->capacity, need, sizeof *tokens->data)) return false;
    for (size_t i = 0; i < segment->count; i++) {
        tokens->data[tokens->count++] = (rt_token){.id = segment->ids[i],
                                                   walk->point + segment->start[i],
                                                   walk->point + segment->end[i],
                                                   walk->word + segment->word[i]};
    }
    walk->point += segment->points;
    walk->word += segment->words;
    return true;
}

/* `point` and `word` are what they were before the segment, `from` its first token. */
static void remember(const rt_walk *walk, rt_segment *segment, const uint8_t *bytes, size_t length,
                     size_t from, uint32_t point, int32_t word) {
    size_t count = walk->tokens->count - from;
    if (count > RT_SEGMENT_TOKENS) return;
    memcpy(segment->key, bytes, length);
    segment->length = (uint8_t)length;
    segment->points = (uint8_t)(walk->point - point);
    segment->words = (uint8_t)(walk->word - word);
    segment->count = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        const rt_token *token = &walk->tokens->data[from + i];
        segment->ids[i] = token->id;
        segment->start[i] = (uint8_t)(token->start - point);
        segment->end[i] = (uint8_t)(token->end - point);
        segment->word[i] = (uint8_t)(token->word - word);
    }
}

static bool split_segment(rt_walk *walk, const uint8_t *bytes, size_t length) {
    const rt_normalizer *normalizer = &walk->tokenizer->normalizer;
    return rt_normalize(normalizer, bytes, length, walk->point, walk->normalized, &walk->point) &&
           split_words(walk, 0, walk->normalized->count);
}

static bool walk_segment(rt_walk *walk, const uint8_t *bytes, size_t length) {
    if (walk->cache == NULL || length > RT_SEGMENT_MAX) return split_segment(walk, bytes, length);
    rt_segment *segment = rt_word_cache_slot(walk->cache, bytes, length);
    if (rt_segment_holds(segment, bytes, length)) return recall(walk, segment);
    size_t from = walk->tokens->count;
    uint32_t point = walk->point;
    int32_t word = walk->word;
    if (!split_segment(walk, bytes, length)) return false;
    remember(walk, segment, bytes, length, from, point, word);
    return true;
}

static bool is_ideograph(const uint8_t *at, const uint8_t *end, uint32_t *point, size_t *length) {
    *length = rt_utf8_take(at, end, point);
    return rt_unicode(*point)->flags & RT_IDEOGRAPH;
}

/* `at` is inside a segment. */
static const uint8_t *segment_end(const rt_segmenter *segmenter, const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        uint8_t class = segmenter->classes[*at];
        uint32_t point;
        size_t length = 1;
        if (class != RT_BYTE_INSIDE && class != RT_BYTE_LEAD) break;
        if (class == RT_BYTE_LEAD && is_ideograph(at, end, &point, &length)) break;
        at += length;
    }
    return at;
}

/* A segment, or an ideograph; moves *at past it. */
static bool walk_lead(rt_walk *walk, const uint8_t **at, const uint8_t *end) {
    const uint8_t *start = *at;
    uint32_t point;
    size_t length;
    if (!is_ideograph(start, end, &point, &length)) {
        *at = segment_end(&walk->tokenizer->segmenter, start + length, end);
        return walk_segment(walk, start, (size_t)(*at - start));
    }
    *at += length;
    if (point >= RT_IDEOGRAPH_FIRST && point <= RT_IDEOGRAPH_LAST) {
        return push(walk, walk->tokenizer->segmenter.ideographs[point - RT_IDEOGRAPH_FIRST], 1);
    }
    return walk_segment(walk, start, length);
}

static bool walk_segments(rt_walk *walk, const uint8_t *text, size_t size) {
    const rt_segmenter *segmenter = &walk->tokenizer->segmenter;
    const uint8_t *end = text + size;
    bool fine = true;
    while (fine && text < end && walk->tokens->count < walk->limit) {
        const uint8_t *start = text;
        switch ((rt_byte_class)segmenter->classes[*text]) {
        case RT_BYTE_BLANK:
            walk->point++;
            text++;
            break;
        case RT_BYTE_PUNCTUATION:
            fine = push(walk, segmenter->punctuation[*text++], 1);
            break;
        case RT_BYTE_LEAD:
            fine = walk_lead(walk, &text, end);
            break;
        case RT_BYTE_INSIDE:
            text = segment_end(segmenter, text + 1, end);
            fine = walk_segment(walk, start, (size_t)(text - start));
            break;
        }
    }
    return fine;
}

/* ---- Added tokens of the raw text --------------------------------------------------------------------- */

static bool walk_between(rt_walk *walk, const uint8_t *text, size_t size) {
    bool whole =
        !walk->segmented || !walk->tokenizer->segmenter.local || walk->tokenizer->added.normalized.count > 0;
    return whole ? walk_whole(walk, text, size) : walk_segments(walk, text, size);
}

/* A byte of a text, and how many code points come before it. */
typedef struct text_place {
    size_t at;
    uint32_t point;
} text_place;

/* Code points before `at`. A token that takes white space ends far behind others that stand in it; so of two
 * places one goes with the tokens and one with these ends, and neither goes back. */
static uint32_t point_of(const uint8_t *text, text_place *near, text_place *far, size_t at) {
    text_place *place = at >= far->at ? far : near;
    place->point += (uint32_t)rt_utf8_count(text + place->at, text + at);
    place->at = at;
    return place->point;
}

/* Cuts out the added tokens; the text between them is walked on its own. */
static bool walk_text(rt_walk *walk, const uint8_t *text, size_t size) {
    rt_scan scan = {text, size, .special_as_text = walk->special_as_text};
    text_place near = {0, walk->point}, far = near;
    size_t done = 0;
    for (rt_match match; rt_scan_next(&walk->tokenizer->added.raw, &scan, &match); done = match.end) {
        if (match.start > done && !walk_between(walk, text + done, match.start - done)) return false;
        if (walk->tokens->count >= walk->limit) return true;
        uint32_t start = point_of(text, &near, &far, match.start),
                 end = point_of(text, &near, &far, match.end);
        walk->point = start;
        if (end == start) continue;
        if (!push(walk, match.token->id, end - start)) return false;
        if (walk->measured) {
            measure_match(&walk->tokens->data[walk->tokens->count - 1], text, &match, end - start);
        }
    }
    return done >= size || walk_between(walk, text + done, size - done);
}

retort_status rt_walk_text(rt_walk *walk, const char *text, size_t size, retort_error *err) {
    if (size > RT_TEXT_MAX) {
        return rt_fail(err, RETORT_LIMIT, "a text of %zu bytes, at most %d are supported", size, RT_TEXT_MAX);
    }
    walk->tokens->words = walk->segmented && !walk->tokenizer->segmenter.local ? walk->cache : NULL;
    if (size == 0 || walk_text(walk, (const uint8_t *)text, size)) return RETORT_OK;
    return rt_fail(err, RETORT_NOMEM, "out of memory for a text of %zu bytes", size);
}
