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

/* Refuses a tokenizer class that splits texts differently, and an unknown one, whose rules are code. A
 * tokenizer.json (`file`) states every step, so it is followed for an unknown class, with a warning. */
retort_status rt_tokenizer_class_check(const char *name, const json_t *config, bool file, retort_error *err);
/* Overrides the normalizer with what the class takes from the configuration. False: out of memory. */
bool rt_tokenizer_class_override(json_t *normalizer, const json_t *config);
/* Warns where the class would not do what the file says. */
void rt_tokenizer_class_warn(rt_tokenizer *tokenizer, const char *name, const json_t *normalizer,
                             const json_t *config);

/* The lines of a vocab.txt as Python reads them: "\r\n" and "\r" end a line, too. */
bool rt_vocab_txt_lines(rt_buffer *out, const char *text, size_t size);
/* The tokenizer.json that a vocab.txt stands for, without its vocabulary; NULL: out of memory. */
json_t *rt_vocab_txt_settings(json_t *config, const rt_buffer *lines);

#endif
