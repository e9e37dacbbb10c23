/* SPDX-License-Identifier: Apache-2.0 */
#include "text/words.h"

#include "text/unicode.h"

/* The longest piece that is a beginning of `points` [0, count), as a number of characters; 0 when there is
 * none. The hashes of all beginnings come from one pass; then they are looked up from the longest down. */
static size_t longest_piece(const rt_vocab *vocab, const uint8_t *bytes, const rt_point *points, size_t count,
                            bool within, int32_t *id) {
    uint64_t hashes[RT_PIECE_MAX + 1], hash = rt_vocab_hash(within);
    uint32_t begin = points[0].at;
    size_t tried = 0, reach = rt_vocab_reach(vocab, bytes + begin, points[count].at - begin, within);
    for (; tried < count && points[tried + 1].at - begin <= reach; tried++) {
        for (uint32_t at = points[tried].at; at < points[tried + 1].at; at++) {
            hash = rt_vocab_hash_byte(hash, bytes[at]);
        }
        hashes[tried] = hash;
    }
    for (; tried > 0; tried--) {
        *id = rt_vocab_find(vocab, bytes + begin, points[tried].at - begin, within, hashes[tried - 1]);
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
