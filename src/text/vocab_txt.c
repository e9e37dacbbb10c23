/* SPDX-License-Identifier: Apache-2.0
 * A vocab.txt, as transformers 5 makes a BertTokenizer of it: the tokenizer.json that this would save. */
#include "text/checkpoint.h"

#include "base/names.h"

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

static bool has_line(const rt_buffer *lines, const char *piece) {
    size_t length = strlen(piece), left = lines->length;
    for (const char *at = lines->data; left > 0;) {
        const char *end = memchr(at, '\n', left);
        if ((size_t)(end - at) == length && memcmp(at, piece, length) == 0) return true;
        left -= (size_t)(end + 1 - at);
        at = end + 1;
    }
    return false;
}

/* Added tokens, each content once. */
typedef struct added_list {
    json_t *tokens;
    rt_names known;
} added_list;

/* Adds `token`, or a special token with the content where it is NULL. False: out of memory. */
static bool add_token(added_list *list, const char *content, json_t *token) {
    int known = 0;
    if (content == NULL) return true;
    if (!rt_names_add(&list->known, content, 0, &known)) return false;
    if (known >= 0) return true;
    token = token != NULL ? json_incref(token) : json_pack("{s:s,s:b}", "content", content, "special", 1);
    return json_array_append_new(list->tokens, token) == 0;
}

static int compare_ids(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    long i = strtol(*x, NULL, 10), k = strtol(*y, NULL, 10);
    return i < k ? -1 : i > k;
}

/* "added_tokens_decoder": {"id": token, …} in the order of the ids. */
static bool add_decoder_tokens(added_list *list, json_t *decoder) {
    size_t count = json_object_size(decoder), n = 0;
    const char **ids = rt_calloc(count, sizeof *ids), *id;
    json_t *token;
    bool fine = ids != NULL;
    json_object_foreach(decoder, id, token) {
        if (fine) ids[n++] = id;
    }
    if (fine) qsort(ids, n, sizeof *ids, compare_ids);
    for (size_t i = 0; i < n && fine; i++) {
        token = json_object_get(decoder, ids[i]);
        fine = add_token(list, rt_token_text(token), token);
    }
    free(ids);
    return fine;
}

/* Tokens that the vocabulary has not (often the mask token) are left out where transformers would number them beyond
 * the vocabulary and so beyond the model's embeddings; added_tokens_decoder says which are really there. */
static json_t *make_added(json_t *config, const rt_buffer *lines) {
    static const char *const more_keys[] = {"additional_special_tokens", "extra_special_tokens"};
    const rt_token_model_row *row = &rt_wordpiece_row;
    added_list list = {.tokens = json_array()};
    bool fine =
        list.tokens != NULL && add_decoder_tokens(&list, json_object_get(config, "added_tokens_decoder"));
    for (size_t i = 0; i < RT_SPECIALS && fine; i++) {
        const char *text = rt_special_text(config, row, (rt_special)i);
        if (has_line(lines, text)) fine = add_token(&list, text, NULL);
    }
    for (size_t i = 0; i < 2 && fine; i++) {
        const json_t *more = json_object_get(config, more_keys[i]);
        for (size_t k = 0; k < json_array_size(more) && fine; k++) {
            fine = add_token(&list, rt_token_text(json_array_get(more, k)), NULL);
        }
    }
    rt_names_free(&list.known);
    if (fine) return list.tokens;
    json_decref(list.tokens);
    return NULL;
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
                     make_added(config, lines), "normalizer", normalizer, "pre_tokenizer", "type",
                     "BertPreTokenizer", "post_processor", "type", "BertProcessing", "cls",
                     rt_special_text(config, row, RT_CLS), "sep", rt_special_text(config, row, RT_SEP),
                     "model", rt_wordpiece_part(rt_special_text(config, row, RT_UNK)), "facts",
                     rt_tokenizer_facts(config, NULL, row));
}
