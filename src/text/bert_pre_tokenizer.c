/* SPDX-License-Identifier: Apache-2.0 */
#include "text/bert_pre_tokenizer.h"

const rt_pre_tokenizer_row rt_bert_pre_tokenizer_row = {
    .type = "BertPreTokenizer", .next = rt_bert_next_word, .local = true};
