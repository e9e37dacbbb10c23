/* SPDX-License-Identifier: Apache-2.0
 * The "added_tokens" of a tokenizer.json. */
#include "text/state.h"

#include <string.h>

enum { MAX_ADDED = 1 << 16 };

/* Hugging Face ignores the id that the file gives: a token of the vocabulary has its id there, others are
 * numbered from the end of the vocabulary on, in the order of the file. */
static retort_status read_added_token(const rt_component_reader *in, const json_t *item,
                                      rt_added_token *out) {
    rt_tokenizer *tokenizer = in->tokenizer;
    const char *content = json_string_value(json_object_get(item, "content"));
    if (content == NULL)
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: an added token without content, or whose content is no text", in->name);
    if (strlen(content) > RT_PIECE_MAX) {
        return rt_fail(in->err, RETORT_LIMIT, "%s: an added token of %zu bytes, at most %d are supported",
                       in->name, strlen(content), RT_PIECE_MAX);
    }
    out->content = rt_arena_text(in->arena, content, strlen(content));
    if (out->content == NULL) return rt_fail_nomem(in->err, strlen(content));
    out->id = rt_token_model_find(&tokenizer->model, content, strlen(content));
    if (out->id < 0) out->id = tokenizer->info.pieces++;
    retort_status status = rt_component_flag(in, item, "special", false, &out->special);
    if (status == RETORT_OK)
        status = rt_component_flag(in, item, "normalized", !out->special, &out->normalized);
    if (status == RETORT_OK) status = rt_component_flag(in, item, "single_word", false, &out->single_word);
    if (status == RETORT_OK) status = rt_component_flag(in, item, "lstrip", false, &out->lstrip);
    if (status == RETORT_OK) status = rt_component_flag(in, item, "rstrip", false, &out->rstrip);
    return status;
}

/* Finds a token by its content, and by its id if that is beyond the vocabulary. */
static retort_status index_added(const rt_component_reader *in, const rt_added_token *tokens, size_t count) {
    rt_tokenizer *tokenizer = in->tokenizer;
    rt_added *added = &tokenizer->added;
    size_t first = tokenizer->model.count, beyond = (size_t)tokenizer->info.pieces - first;
    added->beyond = rt_arena_calloc(in->arena, beyond, sizeof *added->beyond);
    if (added->beyond == NULL) return rt_fail_nomem(in->err, beyond * sizeof *added->beyond);
    for (size_t i = 0; i < count; i++) {
        int known;
        if (!rt_names_add(&added->ids, tokens[i].content, tokens[i].id, &known)) {
            return rt_fail_nomem(in->err, count * sizeof *tokens);
        }
        if (known >= 0) {
            return rt_fail(in->err, RETORT_FORMAT, "%s: added token \"%.64s\" is listed twice", in->name,
                           tokens[i].content);
        }
        if ((size_t)tokens[i].id >= first) added->beyond[(size_t)tokens[i].id - first] = tokens[i].content;
    }
    return RETORT_OK;
}

/* Special tokens first: of equal patterns Hugging Face takes the one of the special token. */
static void special_first(rt_added_token *out, const rt_added_token *tokens, size_t count) {
    for (int special = 1; special >= 0; special--) {
        for (size_t i = 0; i < count; i++) {
            if (tokens[i].special == special) *out++ = tokens[i];
        }
    }
}

static retort_status make_patterns(const rt_component_reader *in, bool normalized, rt_patterns *out) {
    const rt_added *added = &in->tokenizer->added;
    rt_pattern *items = rt_arena_calloc(in->arena, added->count, sizeof *items);
    rt_normalized text = {0};
    size_t count = 0;
    bool fine = items != NULL;
    for (size_t i = 0; i < added->count && fine; i++) {
        const rt_added_token *token = &added->tokens[i];
        rt_pattern pattern = {(const uint8_t *)token->content, strlen(token->content), token};
        uint32_t next;
        if (token->normalized != normalized) continue;
        if (normalized) {
            fine = rt_normalize(&in->tokenizer->normalizer, pattern.bytes, pattern.length, 0, &text, &next);
            if (!fine) break;
            pattern.length = text.points[text.count].at;
            pattern.bytes = (uint8_t *)rt_arena_text(in->arena, (char *)text.bytes, pattern.length);
            fine = pattern.bytes != NULL;
        }
        if (pattern.length == 0) {
            rt_normalized_free(&text);
            return rt_fail(in->err, RETORT_UNSUPPORTED,
                           "%s: nothing is left of added token %d when it is normalized", in->name,
                           token->id);
        }
        items[count++] = pattern;
    }
    rt_normalized_free(&text);
    if (!fine) return rt_fail_nomem(in->err, added->count * sizeof *items);
    rt_patterns_open(out, items, count);
    return RETORT_OK;
}

retort_status rt_added_read(const rt_component_reader *in, const json_t *list) {
    rt_added *added = &in->tokenizer->added;
    size_t size = json_array_size(list), count = 0;
    if (list != NULL && !json_is_null(list) && !json_is_array(list))
        return rt_fail(in->err, RETORT_FORMAT, "%s: added_tokens is not a list", in->name);
    if (size > MAX_ADDED) {
        return rt_fail(in->err, RETORT_LIMIT, "%s: %zu added tokens, at most %d are supported", in->name,
                       size, MAX_ADDED);
    }
    rt_added_token *tokens = rt_arena_calloc(in->arena, size, sizeof *tokens);
    added->tokens = rt_arena_calloc(in->arena, size, sizeof *tokens);
    if (tokens == NULL || added->tokens == NULL) return rt_fail_nomem(in->err, size * sizeof *tokens);
    for (size_t i = 0; i < size; i++) {
        const json_t *item = json_array_get(list, i);
        const json_t *content = json_object_get(item, "content");
        if (json_is_string(content) && json_string_length(content) == 0) continue;
        retort_status status = read_added_token(in, item, &tokens[count++]);
        if (status != RETORT_OK) return status;
    }
    retort_status status = index_added(in, tokens, count);
    if (status != RETORT_OK) return status;
    special_first(added->tokens, tokens, count);
    added->count = count;
    added->special = rt_arena_calloc(in->arena, (size_t)in->tokenizer->info.pieces, 1);
    if (added->special == NULL) return rt_fail_nomem(in->err, (size_t)in->tokenizer->info.pieces);
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].special) added->special[tokens[i].id] = 1;
    }
    status = make_patterns(in, false, &added->raw);
    return status == RETORT_OK ? make_patterns(in, true, &added->normalized) : status;
}
