/* SPDX-License-Identifier: Apache-2.0
 * Pieces that no text gives: BERT's vocabularies keep some 990 for later ("[unused12]"), 3 % of the table. */
#ifndef RT_QUANT_UNUSED_H
#define RT_QUANT_UNUSED_H

#include "text/tokenizer.h"

/* Ranges of at least 16 ids, which are worth their entry. */
enum { RT_UNUSED_MOST = 8 };
typedef struct rt_unused {
    int32_t gaps[RT_UNUSED_MOST * 2]; /* first id, how many */
    size_t count;
} rt_unused;
/* Pieces of that name which the tokenizer does not make of their own text: one that a model has come to use
 * is an added token, and is made. tokenizer may be NULL. */
retort_status rt_unused_find(rt_unused *out, const rt_tokenizer *tokenizer, retort_error *err);

#endif
