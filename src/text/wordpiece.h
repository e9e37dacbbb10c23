/* SPDX-License-Identifier: Apache-2.0
 * BertPreTokenizer and WordPiece: normalised text to tokens. */
#ifndef RT_TEXT_WORDPIECE_H
#define RT_TEXT_WORDPIECE_H

#include "text/bert_normalizer.h"
#include "text/wordpiece_vocab.h"

/* Characters of a word: HF's max_input_chars_per_word is 100 in every BERT. */
enum { RT_WORD_MAX = 1024 };

typedef struct rt_token {
    int32_t id;
    uint32_t start, end; /* code points of the original text */
    int32_t word;
} rt_token;

typedef struct rt_tokens {
    rt_token *data;
    size_t count, capacity;
} rt_tokens;
/* False when out of memory. */
static inline bool rt_tokens_push(rt_tokens *tokens, rt_token token) {
    if (tokens->count == tokens->capacity &&
        !rt_grow((void **)&tokens->data, &tokens->capacity, tokens->count + 1, sizeof token)) {
        return false;
    }
    tokens->data[tokens->count++] = token;
    return true;
}

typedef struct rt_wordpiece {
    rt_vocab vocab;
    size_t word_max; /* a longer word is unknown; <= RT_WORD_MAX */
    int32_t unknown;
} rt_wordpiece;

/* Splits points [from, to) at white space and around punctuation, and each word into pieces. Words are
 * numbered from *word on. False when out of memory. */
bool rt_split_words(const rt_wordpiece *wordpiece, const rt_normalized *text, size_t from, size_t to,
                    rt_tokens *tokens, int32_t *word);

#endif
