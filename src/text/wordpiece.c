/* SPDX-License-Identifier: Apache-2.0 */
#include "text/wordpiece.h"

#include "text/unicode.h"

/* The longest piece that is a beginning of `points` [0, count), as a number of characters; 0 when there is
 * none. One pass gives what the hashes of all beginnings share; they are looked up from the longest down. */
static size_t longest_piece(const rt_vocab *vocab, const uint8_t *bytes, const rt_point *points, size_t count,
                            bool within, int32_t *id) {
    rt_hash_state states[RT_PIECE_MAX / 8 + 1], state = vocab->begin[within]; /* after each 8 bytes */
    uint32_t begin = points[0].at;
    bytes += begin;
    uint32_t lengths = rt_vocab_lengths(vocab, bytes, points[count].at - begin, within);
    size_t tried = 0, longest = rt_vocab_longest(lengths);
    while (tried < count && points[tried + 1].at - begin <= longest) tried++;
    size_t done = 0;
    for (; done + 8 <= points[tried].at - begin; done += 8) {
        states[done / 8] = state;
        rt_hash_block(&state, bytes + done);
    }
    for (; tried > 0; tried--) {
        size_t length = points[tried].at - begin;
        for (; length < done; done -= 8) state = states[done / 8 - 1];
        if (!(lengths & rt_vocab_length_bit(length))) continue;
        uint64_t hash = rt_hash_end_wide(state, bytes + done, length);
        *id = rt_vocab_find(vocab, bytes, length, within, hash);
        if (*id >= 0) return tried;
    }
    return 0;
}

/* Greedy longest match; a word that cannot be made of pieces is one unknown token. */
static bool split_word(const rt_wordpiece *wordpiece, const rt_normalized *text, size_t from, size_t to,
                       rt_tokens *tokens, int32_t word) {
    const rt_point *points = text->points;
    size_t saved = tokens->count, at = from;
    while (at < to && to - from <= wordpiece->word_max) {
        int32_t id;
        size_t length = longest_piece(&wordpiece->vocab, text->bytes, points + at, to - at, at > from, &id);
        if (length == 0) break;
        rt_token token = {id, points[at].source, points[at + length - 1].source + 1, word};
        if (!rt_tokens_push(tokens, token)) return false;
        at += length;
    }
    if (at == to) return true;
    tokens->count = saved;
    rt_token unknown = {wordpiece->unknown, points[from].source, points[to - 1].source + 1, word};
    return rt_tokens_push(tokens, unknown);
}

bool rt_split_words(const rt_wordpiece *wordpiece, const rt_normalized *text, size_t from, size_t to,
                    rt_tokens *tokens, int32_t *word) {
    enum { CUTS = RT_SPACE | RT_PUNCTUATION };
    for (size_t at = from, end; at < to; at = end) {
        uint8_t flags = rt_unicode(text->points[at].point)->flags;
        for (end = at + 1; !(flags & CUTS) && end < to; end++) {
            if (rt_unicode(text->points[end].point)->flags & CUTS) break;
        }
        if (flags & RT_SPACE) continue;
        if (!split_word(wordpiece, text, at, end, tokens, (*word)++)) return false;
    }
    return true;
}
