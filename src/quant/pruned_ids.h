/* SPDX-License-Identifier: Apache-2.0
 * Pieces that no text produces: vocabularies of BERT reserve some 990 ("[unused12]"), 3 % of the table. */
#ifndef RT_QUANT_PRUNED_IDS_H
#define RT_QUANT_PRUNED_IDS_H

#include "text/tokenizer.h"

/* Ranges of at least 16 ids, which are worth an entry. */
enum { RT_MAX_PRUNED_RANGES = 8 };
typedef struct rt_pruned_ids {
    int32_t pruned[RT_MAX_PRUNED_RANGES * 2]; /* first id, how many */
    size_t count;
} rt_pruned_ids;
/* Finds pieces with such names that the tokenizer does not produce from their own text: one that a model
 * uses is an added token and is produced. tokenizer may be NULL. */
retort_status rt_pruned_ids_find(rt_pruned_ids *out, const rt_tokenizer *tokenizer, retort_error *err);

#endif
