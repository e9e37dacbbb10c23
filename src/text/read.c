/* SPDX-License-Identifier: Apache-2.0
 * Everything of a tokenizer.json but the vocabulary. A part that is not known is refused by its name. */
#include "text/state.h"

#include "text/unicode.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ADDED = 1 << 16 };

static retort_status refuse(const rt_component_reader *in, const char *part, const char *what,
                            const char *only) {
    return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: %s \"%.64s\" is not supported, only %s", in->name, part,
                   what != NULL ? what : "none", only);
}

static retort_status check_version(const rt_component_reader *in, const json_t *settings) {
    const json_t *version = json_object_get(settings, "version");
    if (!json_is_object(settings)) return rt_fail(in->err, RETORT_FORMAT, "%s: not a JSON object", in->name);
    if (version != NULL && (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0)) {
        return refuse(in, "version", json_string_value(version), "1.0");
    }
    return RETORT_OK;
}

static retort_status read_model(const rt_component_reader *in, const json_t *part, const void *pieces,
                                size_t size) {
    rt_token_model *model = &in->tokenizer->model;
    retort_status status = rt_token_model_row_of(&model->row, in->name, part, in->err);
    if (status == RETORT_OK) status = model->row->read(in, part, pieces, size, model);
    in->tokenizer->info.unk = model->unknown;
    in->tokenizer->info.pieces = (int32_t)model->count;
    return status;
}

/* Normalizer, pre-tokenizer and model, in the order of a file's errors. */
static retort_status read_components(const rt_component_reader *in, const json_t *settings,
                                     const void *pieces, size_t size) {
    rt_tokenizer *tokenizer = in->tokenizer;
    retort_status status =
        rt_pre_tokenizer_read(in, json_object_get(settings, "pre_tokenizer"), &tokenizer->pre_tokenizer);
    if (status == RETORT_OK)
        status = rt_decoder_read(in, json_object_get(settings, "decoder"), &tokenizer->decoder);
    if (status == RETORT_OK)
        status = rt_normalizer_read(in, json_object_get(settings, "normalizer"), &tokenizer->normalizer);
    if (status == RETORT_OK) status = read_model(in, json_object_get(settings, "model"), pieces, size);
    if (status != RETORT_OK) return status;
    tokenizer->info.lowercase = tokenizer->normalizer.lower;
    tokenizer->split = rt_split_of(&tokenizer->pre_tokenizer, &tokenizer->model);
    tokenizer->local = tokenizer->normalizer.row->local && tokenizer->pre_tokenizer.row->local &&
                       tokenizer->model.row->local;
    return RETORT_OK;
}

/* ---- Added tokens ------------------------------------------------------------------------------------- */

/* Hugging Face ignores the id that the file gives: a token of the vocabulary has its id there, others are
 * numbered from the end of the vocabulary on, in the order of the file. */
static retort_status read_added_token(const rt_component_reader *in, const json_t *item,
                                      rt_added_token *out) {
    rt_tokenizer *tokenizer = in->tokenizer;
    const char *content = json_string_value(json_object_get(item, "content"));
    if (content == NULL)
        return rt_fail(in->err, RETORT_FORMAT, "%s: an added token without content", in->name);
    if (strlen(content) > RT_PIECE_MAX) {
        return rt_fail(in->err, RETORT_LIMIT, "%s: an added token of %zu bytes, at most %d are supported",
                       in->name, strlen(content), RT_PIECE_MAX);
    }
    out->content = rt_arena_text(&tokenizer->arena, content, strlen(content));
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

/* What finds a token by its content, and by its id where the vocabulary has it not. */
static retort_status index_added(const rt_component_reader *in, const rt_added_token *tokens, size_t count) {
    rt_tokenizer *tokenizer = in->tokenizer;
    size_t first = tokenizer->model.count, beyond = (size_t)tokenizer->info.pieces - first;
    tokenizer->beyond = rt_arena_calloc(&tokenizer->arena, beyond, sizeof *tokenizer->beyond);
    if (tokenizer->beyond == NULL) return rt_fail_nomem(in->err, beyond * sizeof *tokenizer->beyond);
    for (size_t i = 0; i < count; i++) {
        int known;
        if (!rt_names_add(&tokenizer->added_ids, tokens[i].content, tokens[i].id, &known)) {
            return rt_fail_nomem(in->err, count * sizeof *tokens);
        }
        if (known >= 0) {
            return rt_fail(in->err, RETORT_FORMAT, "%s: added token \"%.64s\" is listed twice", in->name,
                           tokens[i].content);
        }
        if ((size_t)tokens[i].id >= first)
            tokenizer->beyond[(size_t)tokens[i].id - first] = tokens[i].content;
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
    rt_tokenizer *tokenizer = in->tokenizer;
    rt_pattern *items = rt_arena_calloc(&tokenizer->arena, tokenizer->added_count, sizeof *items);
    rt_normalized text = {0};
    size_t count = 0;
    bool fine = items != NULL;
    for (size_t i = 0; i < tokenizer->added_count && fine; i++) {
        const rt_added_token *token = &tokenizer->added[i];
        rt_pattern pattern = {(const uint8_t *)token->content, strlen(token->content), token};
        uint32_t next;
        if (token->normalized != normalized) continue;
        if (normalized) {
            fine = rt_normalize(&tokenizer->normalizer, pattern.bytes, pattern.length, 0, &text, &next);
            if (!fine) break;
            pattern.length = text.points[text.count].at;
            pattern.bytes = (uint8_t *)rt_arena_text(&tokenizer->arena, (char *)text.bytes, pattern.length);
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
    if (!fine) return rt_fail_nomem(in->err, tokenizer->added_count * sizeof *items);
    rt_patterns_open(out, items, count);
    return RETORT_OK;
}

static retort_status read_added(const rt_component_reader *in, const json_t *list) {
    rt_tokenizer *tokenizer = in->tokenizer;
    size_t size = json_array_size(list), count = 0;
    if (size > MAX_ADDED) {
        return rt_fail(in->err, RETORT_LIMIT, "%s: %zu added tokens, at most %d are supported", in->name,
                       size, MAX_ADDED);
    }
    rt_added_token *tokens = rt_arena_calloc(&tokenizer->arena, size, sizeof *tokens);
    tokenizer->added = rt_arena_calloc(&tokenizer->arena, size, sizeof *tokens);
    if (tokens == NULL || tokenizer->added == NULL) return rt_fail_nomem(in->err, size * sizeof *tokens);
    for (size_t i = 0; i < size; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_string_length(json_object_get(item, "content")) == 0 &&
            json_object_get(item, "content") != NULL)
            continue;
        retort_status status = read_added_token(in, item, &tokens[count++]);
        if (status != RETORT_OK) return status;
    }
    retort_status status = index_added(in, tokens, count);
    if (status != RETORT_OK) return status;
    special_first(tokenizer->added, tokens, count);
    tokenizer->added_count = count;
    tokenizer->special = rt_arena_calloc(&tokenizer->arena, (size_t)tokenizer->info.pieces, 1);
    if (tokenizer->special == NULL) return rt_fail_nomem(in->err, (size_t)tokenizer->info.pieces);
    for (size_t i = 0; i < count; i++) {
        if (tokens[i].special) tokenizer->special[tokens[i].id] = 1;
    }
    status = make_patterns(in, false, &tokenizer->raw);
    return status == RETORT_OK ? make_patterns(in, true, &tokenizer->normalized) : status;
}

/* ---- Tables ------------------------------------------------------------------------------------------- */

static bool may_lead(uint8_t byte) {
    /* First bytes of U+3400…9FFF, U+F900…FAFF and U+20000…2FA1F. */
    return (byte >= 0xE3 && byte <= 0xE9) || byte == 0xEF || byte == 0xF0;
}

/* The pieces that are one of U+4E00 … U+9FFF. */
static bool make_ideographs(rt_tokenizer *tokenizer) {
    size_t count = RT_IDEOGRAPH_LAST - RT_IDEOGRAPH_FIRST + 1;
    tokenizer->ideographs = rt_calloc(count, sizeof *tokenizer->ideographs);
    if (tokenizer->ideographs == NULL) return false;
    for (size_t i = 0; i < count; i++) tokenizer->ideographs[i] = tokenizer->model.unknown;
    for (size_t id = 0; id < tokenizer->model.count; id++) {
        size_t length;
        const uint8_t *piece = (const uint8_t *)rt_token_model_piece(&tokenizer->model, id, &length);
        uint32_t point;
        if (length != 3 || rt_utf8_take(piece, piece + 3, &point) != 3) continue;
        if (point >= RT_IDEOGRAPH_FIRST && point <= RT_IDEOGRAPH_LAST) {
            tokenizer->ideographs[point - RT_IDEOGRAPH_FIRST] = (int32_t)id;
        }
    }
    return true;
}

static retort_status make_tables(const rt_component_reader *in) {
    rt_tokenizer *tokenizer = in->tokenizer;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool ascii = byte < 128, blank = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
        if (ascii && (rt_unicode(byte)->flags & RT_PUNCTUATION)) {
            tokenizer->classes[byte] = RT_BYTE_PUNCTUATION;
            tokenizer->punctuation[byte] = rt_token_model_find(&tokenizer->model, (char[]){(char)byte}, 1);
            if (tokenizer->punctuation[byte] < 0) tokenizer->punctuation[byte] = tokenizer->model.unknown;
        } else if (blank) {
            tokenizer->classes[byte] = RT_BYTE_BLANK;
        } else if (tokenizer->normalizer.ideographs && may_lead((uint8_t)byte)) {
            tokenizer->classes[byte] = RT_BYTE_LEAD;
        }
    }
    if (!tokenizer->normalizer.ideographs || make_ideographs(tokenizer)) return RETORT_OK;
    return rt_fail_nomem(in->err,
                         (RT_IDEOGRAPH_LAST - RT_IDEOGRAPH_FIRST + 1) * sizeof *tokenizer->ideographs);
}

/* ---- Facts, and what is packed ------------------------------------------------------------------------ */

const char *const rt_special_keys[RT_SPECIALS] = {"unk_token", "sep_token", "pad_token", "cls_token",
                                                  "mask_token"};

static int32_t special_id(const rt_component_reader *in, const json_t *facts, rt_special special) {
    const char *text = json_string_value(json_object_get(facts, rt_special_keys[special]));
    if (text == NULL) text = in->tokenizer->model.row->special[special];
    return rt_tokenizer_id(in->tokenizer, text, strlen(text));
}

static void read_facts(const rt_component_reader *in, const json_t *facts) {
    rt_tokenizer_info *info = &in->tokenizer->info;
    info->cls = special_id(in, facts, RT_CLS);
    info->sep = special_id(in, facts, RT_SEP);
    info->pad = special_id(in, facts, RT_PAD);
    info->mask = special_id(in, facts, RT_MASK);
    info->max_length = json_integer_value(json_object_get(facts, "max_length"));
    info->cut_left = json_object_get(facts, "truncation_side") != NULL;
}

static retort_status keep_settings(const rt_component_reader *in, const json_t *settings) {
    static const char *const kept[] = {"version",        "added_tokens", "normalizer", "pre_tokenizer",
                                       "post_processor", "decoder",      "model",      "facts"};
    json_t *copy = json_object();
    bool fine = copy != NULL;
    for (size_t i = 0; i < sizeof kept / sizeof *kept && fine; i++) {
        json_t *value = json_object_get(settings, kept[i]);
        fine = value == NULL || json_object_set(copy, kept[i], value) == 0;
    }
    if (fine) in->tokenizer->settings = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return in->tokenizer->settings != NULL ? RETORT_OK
                                           : rt_fail(in->err, RETORT_NOMEM, "%s: out of memory", in->name);
}

static retort_status read_settings(const rt_component_reader *in, const json_t *settings, const void *pieces,
                                   size_t size) {
    rt_tokenizer *tokenizer = in->tokenizer;
    retort_status status = check_version(in, settings);
    if (status == RETORT_OK) status = read_components(in, settings, pieces, size);
    if (status == RETORT_OK) status = read_added(in, json_object_get(settings, "added_tokens"));
    if (status != RETORT_OK) return status;
    const json_t *processor = json_object_get(settings, "post_processor");
    status = rt_post_processor_read(in, processor, &tokenizer->single, 1);
    if (status == RETORT_OK) status = rt_post_processor_read(in, processor, &tokenizer->pair, 2);
    if (status != RETORT_OK) return status;
    read_facts(in, json_object_get(settings, "facts"));
    status = make_tables(in);
    return status == RETORT_OK ? keep_settings(in, settings) : status;
}

retort_status rt_tokenizer_build(rt_tokenizer **out, const char *name, json_t *settings, const void *pieces,
                                 size_t size, retort_error *err) {
    rt_component_reader in = {.tokenizer = rt_calloc(1, sizeof *in.tokenizer), .name = name, .err = err};
    if (in.tokenizer == NULL) return rt_fail_nomem(err, sizeof *in.tokenizer);
    in.arena = &in.tokenizer->arena;
    retort_status status = read_settings(&in, settings, pieces, size);
    if (status == RETORT_OK) {
        *out = in.tokenizer;
    } else {
        rt_tokenizer_free(in.tokenizer);
    }
    return status;
}
