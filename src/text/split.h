/* SPDX-License-Identifier: Apache-2.0
 * The loop that gives each word of a pre-tokenizer to a model. It is inlined where it is called: with the two
 * functions known there, they are inlined as well, which is worth 2 to 4 % of a text's time. So a model may
 * have a split function of its own with the pre-tokenizer that it usually comes with. */
#ifndef RT_TEXT_SPLIT_H
#define RT_TEXT_SPLIT_H

#include "text/component.h"

static inline __attribute__((always_inline)) bool
rt_split_words(rt_next_word_fn next, const rt_pre_tokenizer *pre_tokenizer, rt_tokenize_word_fn tokenize,
               const rt_token_model *model, const rt_normalized *text, size_t from, size_t to,
               rt_tokens *tokens, int32_t *number) {
    for (rt_word word; next(pre_tokenizer->data, text, &from, to, &word);) {
        if (!tokenize(model->data, text, word, (*number)++, tokens)) return false;
    }
    return true;
}

#endif
