/* SPDX-License-Identifier: Apache-2.0
 * A vocab.txt, as transformers 5 makes a BertTokenizer of it: the tokenizer.json that this would save. */
#include "text/checkpoint.h"

#include <stdlib.h>
#include <string.h>

bool rt_vocab_txt_lines(rt_buffer *out, const char *text, size_t size) {
    for (size_t at = 0, end; at < size; at = end + 1) {
        for (end = at; end < size && text[end] != '\n' && text[end] != '\r';) end++;
        rt_buffer_append(out, text + at, end - at);
        rt_buffer_append(out, "\n", 1);
        if (end + 1 < size && text[end] == '\r' && text[end + 1] == '\n') end++;
    }
    return !out->failed;
}

static bool has_line(const void *vocab, const char *piece) {
    const rt_buffer *lines = vocab;
    size_t length = strlen(piece), left = lines->length;
    for (const char *at = lines->data; left > 0;) {
        const char *end = memchr(at, '\n', left);
        if ((size_t)(end - at) == length && memcmp(at, piece, length) == 0) return true;
        left -= (size_t)(end + 1 - at);
        at = end + 1;
    }
    return false;
}

json_t *rt_vocab_txt_settings(json_t *config, const rt_buffer *lines) {
    const rt_token_model_row *row = &rt_wordpiece_row;
    json_t *normalizer = json_pack("{s:s,s:b,s:b,s:n,s:b}", "type", "BertNormalizer", "clean_text", 1,
                                   "handle_chinese_chars", 1, "strip_accents", "lowercase", 1);
    if (normalizer != NULL && !rt_tokenizer_class_override(normalizer, config)) {
        json_decref(normalizer);
        normalizer = NULL;
    }
    return json_pack("{s:s,s:o,s:o,s:{s:s},s:{s:s,s:[s],s:[s]},s:o,s:o}", "version", "1.0", "added_tokens",
                     rt_added_list(config, row, has_line, lines), "normalizer", normalizer, "pre_tokenizer",
                     "type", "BertPreTokenizer", "post_processor", "type", "BertProcessing", "cls",
                     rt_special_text(config, row, RT_CLS), "sep", rt_special_text(config, row, RT_SEP),
                     "model", rt_wordpiece_part(rt_special_text(config, row, RT_UNK)), "facts",
                     rt_tokenizer_facts(config, NULL, row));
}
