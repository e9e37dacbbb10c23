/* SPDX-License-Identifier: Apache-2.0
 * Unigram: what its table holds, and the words of a text as its tokens. */
#ifndef RT_TEXT_UNIGRAM_H
#define RT_TEXT_UNIGRAM_H

#include "text/component.h"
#include "text/piece_trie.h"

typedef struct rt_unigram {
    rt_piece_trie trie;
    const double *scores;   /* [count + 1], the last one -infinity */
    const uint32_t *starts; /* [count + 1] */
    const char *text;
    size_t count, text_size;
    double unknown_score;
    int32_t unknown;
    bool has_bytes;     /* an unknown character becomes its bytes */
    int32_t bytes[256]; /* ids of <0x00> … <0xFF> */
} rt_unigram;

/* Tokens of a word. */
bool rt_unigram_tokenize(const void *data, const rt_normalized *text, rt_word word, int32_t number,
                         rt_tokens *tokens);
/* Those of all words that Metaspace makes, without a copy of the text. */
bool rt_unigram_split(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                      const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens, int32_t *number);
/* Whether the best way to make the piece is the piece. *work, of *capacity bytes, is used again. False when out of
 * memory. */
bool rt_unigram_is_whole(const rt_unigram *model, int32_t id, const uint8_t *bytes, size_t length,
                         void **work, size_t *capacity, bool *whole);

#endif
