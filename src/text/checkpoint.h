/* SPDX-License-Identifier: Apache-2.0
 * What the readers of a checkpoint's tokenizer files share. `config` is tokenizer_config.json with what other
 * files add to it; it may be NULL. */
#ifndef RT_TEXT_CHECKPOINT_H
#define RT_TEXT_CHECKPOINT_H

#include "text/component.h"

/* A string, or the "content" of an object; NULL when it is neither. */
const char *rt_token_text(const json_t *token);
/* How a special token is spelled: as the configuration says, else as is usual for the model. */
const char *rt_special_text(const json_t *config, const rt_token_model_row *row, rt_special special);
/* What only rt_tokenizer_describe needs; NULL: out of memory. */
json_t *rt_tokenizer_facts(const json_t *config, const json_t *truncation, const rt_token_model_row *row);

/* Where a vocabulary comes from. */
typedef enum rt_tokenizer_source {
    RT_TOKENIZER_JSON,
    RT_VOCAB_TXT,  /* made into a BertTokenizer */
    RT_MERGES_TXT, /* with a vocab.json: made into a RobertaTokenizer */
} rt_tokenizer_source;
/* Refuses a tokenizer class that splits texts differently, and an unknown one, whose rules are code. A
 * tokenizer.json states every step, so it is followed for an unknown class, with a warning. */
retort_status rt_tokenizer_class_check(const char *name, const json_t *config, rt_tokenizer_source source,
                                       retort_error *err);
/* Overrides the normalizer with what the class takes from the configuration. False: out of memory. */
bool rt_tokenizer_class_override(json_t *normalizer, const json_t *config);
/* Warns where the class would not do what the file says. */
void rt_tokenizer_class_warn(rt_tokenizer *tokenizer, const char *name, const json_t *normalizer,
                             const json_t *config);

/* The added tokens that the configuration states: "added_tokens_decoder", then special tokens that the vocabulary has
 * (others are left out where transformers would number them beyond the vocabulary and so beyond the model's
 * embeddings), then additional ones. NULL: out of memory. */
typedef bool (*rt_has_piece_fn)(const void *vocab, const char *piece);
json_t *rt_added_list(json_t *config, const rt_token_model_row *row, rt_has_piece_fn has, const void *vocab);

/* The tokenizer.json that a sentencepiece .model stands for, for the class that `config` names. What it does not say of
 * special tokens is added to it. */
retort_status rt_sentencepiece_settings(json_t **out, const char *name, json_t *config, const void *data,
                                        size_t size, retort_error *err);

/* The tokenizer.json that a vocab.json and a merges.txt stand for: transformers' RobertaTokenizer. */
retort_status rt_merges_txt_settings(json_t **out, const char *name, json_t *config, json_t *vocab,
                                     const char *merges, size_t size, retort_error *err);

/* A tokenizer of these settings that keeps a copy of its tables. */
retort_status rt_tokenizer_build_with(rt_tokenizer **out, const char *name, json_t *root,
                                      const rt_buffer *pieces, const rt_buffer *table, const rt_buffer *map,
                                      retort_error *err);

/* The lines of a vocab.txt as Python reads them: "\r\n" and "\r" end a line, too. */
bool rt_vocab_txt_lines(rt_buffer *out, const char *text, size_t size);
/* The tokenizer.json that a vocab.txt stands for, without its vocabulary; NULL: out of memory. */
json_t *rt_vocab_txt_settings(json_t *config, const rt_buffer *lines);

#endif
