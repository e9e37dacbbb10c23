/* SPDX-License-Identifier: Apache-2.0
 * Everything of a tokenizer.json but the vocabulary. A part that is not known is refused by its name. */
#include "text/state.h"

#include "text/unicode.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ADDED = 1 << 16 };

/* A build on its way; `tokenizer` becomes the result. */
typedef struct builder {
    rt_tokenizer *tokenizer;
    const char *name;
    retort_error *err;
} builder;

static retort_status refuse(const builder *in, const char *part, const char *what, const char *only) {
    return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: %s \"%.64s\" is not supported, only %s", in->name, part,
                   what != NULL ? what : "none", only);
}

static const char *type_of(const json_t *part) {
    return json_string_value(json_object_get(part, "type"));
}

static bool is_type(const json_t *part, const char *type) {
    return type_of(part) != NULL && strcmp(type_of(part), type) == 0;
}

/* An optional flag of an object. */
static retort_status read_flag(const builder *in, const json_t *object, const char *key, bool missing,
                               bool *out) {
    const json_t *value = json_object_get(object, key);
    *out = value == NULL || json_is_null(value) ? missing : json_is_true(value);
    if (value == NULL || json_is_null(value) || json_is_boolean(value)) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: \"%s\" is neither true nor false", in->name, key);
}

/* ---- Normalizer, pre-tokenizer, decoder --------------------------------------------------------------- */

static retort_status read_normalizer(const builder *in, const json_t *part) {
    rt_normalizer *out = &in->tokenizer->normalizer;
    if (part == NULL || json_is_null(part)) return RETORT_OK;
    if (!is_type(part, "BertNormalizer")) return refuse(in, "normalizer", type_of(part), "BertNormalizer");
    retort_status status = read_flag(in, part, "lowercase", true, &out->lower);
    if (status == RETORT_OK) status = read_flag(in, part, "clean_text", true, &out->clean);
    if (status == RETORT_OK) status = read_flag(in, part, "handle_chinese_chars", true, &out->ideographs);
    if (status == RETORT_OK) status = read_flag(in, part, "strip_accents", out->lower, &out->strip);
    in->tokenizer->info.lowercase = out->lower;
    return status;
}

static retort_status check_parts(const builder *in, const json_t *settings) {
    const json_t *version = json_object_get(settings, "version");
    const json_t *cutter = json_object_get(settings, "pre_tokenizer"),
                 *decoder = json_object_get(settings, "decoder");
    if (!json_is_object(settings)) return rt_fail(in->err, RETORT_FORMAT, "%s: not a JSON object", in->name);
    if (version != NULL && (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0)) {
        return refuse(in, "version", json_string_value(version), "1.0");
    }
    if (!is_type(cutter, "BertPreTokenizer"))
        return refuse(in, "pre_tokenizer", type_of(cutter), "BertPreTokenizer");
    if (decoder != NULL && !json_is_null(decoder) && !is_type(decoder, "WordPiece")) {
        return refuse(in, "decoder", type_of(decoder), "WordPiece");
    }
    return RETORT_OK;
}

/* ---- Model -------------------------------------------------------------------------------------------- */

static retort_status read_model(const builder *in, const json_t *model, const void *pieces, size_t size) {
    rt_wordpiece *out = &in->tokenizer->wordpiece;
    const char *unknown = json_string_value(json_object_get(model, "unk_token"));
    const char *prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    const json_t *longest = json_object_get(model, "max_input_chars_per_word");
    json_int_t word_max = json_integer_value(longest);
    /* Files of tokenizers before 0.9 do not name the type. */
    if (!is_type(model, "WordPiece") && (type_of(model) != NULL || prefix == NULL)) {
        return refuse(in, "model", type_of(model), "WordPiece");
    }
    if (unknown == NULL || prefix == NULL || word_max < 1 || word_max > RT_WORD_MAX) {
        return rt_fail(
            in->err, RETORT_FORMAT,
            "%s: model: unk_token and continuing_subword_prefix must be strings, max_input_chars_per_word "
            "1 to %d",
            in->name, RT_WORD_MAX);
    }
    char *kept = rt_arena_text(&in->tokenizer->arena, prefix, strlen(prefix));
    if (kept == NULL) return rt_fail_nomem(in->err, strlen(prefix));
    retort_status status = rt_vocab_open(&out->vocab, in->name, pieces, size, kept, in->err);
    if (status != RETORT_OK) return status;
    out->word_max = (size_t)word_max;
    out->unknown = rt_vocab_id(&out->vocab, unknown, strlen(unknown));
    in->tokenizer->info.unk = out->unknown;
    in->tokenizer->info.pieces = (int32_t)out->vocab.count;
    if (out->unknown >= 0) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: the vocabulary has no unknown token \"%s\"", in->name,
                   unknown);
}

/* ---- Decoder ------------------------------------------------------------------------------------------ */

/* Without a word about it: what BertTokenizer of transformers has. null: none. */
static retort_status read_decoder(const builder *in, const json_t *part) {
    rt_decoder *out = &in->tokenizer->decoder;
    const json_t *stated = json_object_get(part, "prefix");
    const char *prefix = stated == NULL ? "##" : json_string_value(stated);
    *out = (rt_decoder){.wordpiece = !json_is_null(part)};
    if (!out->wordpiece) return RETORT_OK;
    if (prefix == NULL)
        return rt_fail(in->err, RETORT_FORMAT, "%s: decoder: prefix is not a string", in->name);
    out->prefix = rt_arena_text(&in->tokenizer->arena, prefix, strlen(prefix));
    if (out->prefix == NULL) return rt_fail_nomem(in->err, strlen(prefix));
    return read_flag(in, part, "cleanup", true, &out->cleanup);
}

/* ---- Added tokens ------------------------------------------------------------------------------------- */

/* Hugging Face ignores the id that the file gives: a token of the vocabulary has its id there, others are
 * numbered from the end of the vocabulary on, in the order of the file. */
static retort_status read_added_token(const builder *in, const json_t *item, rt_added_token *out) {
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
    out->id = rt_vocab_id(&tokenizer->wordpiece.vocab, content, strlen(content));
    if (out->id < 0) out->id = tokenizer->info.pieces++;
    retort_status status = read_flag(in, item, "special", false, &out->special);
    if (status == RETORT_OK) status = read_flag(in, item, "normalized", !out->special, &out->normalized);
    if (status == RETORT_OK) status = read_flag(in, item, "single_word", false, &out->single_word);
    if (status == RETORT_OK) status = read_flag(in, item, "lstrip", false, &out->lstrip);
    if (status == RETORT_OK) status = read_flag(in, item, "rstrip", false, &out->rstrip);
    return status;
}

/* What finds a token by its content, and by its id where the vocabulary has it not. */
static retort_status index_added(const builder *in, const rt_added_token *tokens, size_t count) {
    rt_tokenizer *tokenizer = in->tokenizer;
    size_t first = tokenizer->wordpiece.vocab.count, beyond = (size_t)tokenizer->info.pieces - first;
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

static retort_status make_patterns(const builder *in, bool normalized, rt_patterns *out) {
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

static retort_status read_added(const builder *in, const json_t *list) {
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
    const rt_vocab *vocab = &tokenizer->wordpiece.vocab;
    size_t count = RT_IDEOGRAPH_LAST - RT_IDEOGRAPH_FIRST + 1;
    tokenizer->ideographs = rt_calloc(count, sizeof *tokenizer->ideographs);
    if (tokenizer->ideographs == NULL) return false;
    for (size_t i = 0; i < count; i++) tokenizer->ideographs[i] = tokenizer->wordpiece.unknown;
    for (size_t id = 0; id < vocab->count; id++) {
        const uint8_t *piece = (const uint8_t *)rt_vocab_piece(vocab, id);
        uint32_t point;
        if (rt_vocab_length(vocab, id) != 3 || rt_utf8_take(piece, piece + 3, &point) != 3) continue;
        if (point >= RT_IDEOGRAPH_FIRST && point <= RT_IDEOGRAPH_LAST) {
            tokenizer->ideographs[point - RT_IDEOGRAPH_FIRST] = (int32_t)id;
        }
    }
    return true;
}

static retort_status make_tables(const builder *in) {
    rt_tokenizer *tokenizer = in->tokenizer;
    for (uint32_t byte = 0; byte < 256; byte++) {
        bool ascii = byte < 128, blank = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
        if (ascii && (rt_unicode(byte)->flags & RT_PUNCTUATION)) {
            tokenizer->classes[byte] = RT_BYTE_PUNCTUATION;
            tokenizer->punctuation[byte] = rt_vocab_id(&tokenizer->wordpiece.vocab, (char[]){(char)byte}, 1);
            if (tokenizer->punctuation[byte] < 0) tokenizer->punctuation[byte] = tokenizer->wordpiece.unknown;
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

static int32_t named_id(const builder *in, const json_t *facts, const char *key, const char *usual) {
    const char *text = json_string_value(json_object_get(facts, key));
    if (text == NULL) text = usual;
    return rt_tokenizer_id(in->tokenizer, text, strlen(text));
}

static void read_facts(const builder *in, const json_t *facts) {
    rt_tokenizer_info *info = &in->tokenizer->info;
    info->cls = named_id(in, facts, "cls_token", "[CLS]");
    info->sep = named_id(in, facts, "sep_token", "[SEP]");
    info->pad = named_id(in, facts, "pad_token", "[PAD]");
    info->mask = named_id(in, facts, "mask_token", "[MASK]");
    info->max_length = json_integer_value(json_object_get(facts, "max_length"));
    info->cut_left = json_object_get(facts, "truncation_side") != NULL;
}

static retort_status keep_settings(const builder *in, const json_t *settings) {
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

static retort_status read_settings(const builder *in, const json_t *settings, const void *pieces,
                                   size_t size) {
    retort_status status = check_parts(in, settings);
    if (status == RETORT_OK) status = read_normalizer(in, json_object_get(settings, "normalizer"));
    if (status == RETORT_OK) status = read_model(in, json_object_get(settings, "model"), pieces, size);
    if (status == RETORT_OK) status = read_decoder(in, json_object_get(settings, "decoder"));
    if (status == RETORT_OK) status = read_added(in, json_object_get(settings, "added_tokens"));
    if (status != RETORT_OK) return status;
    status = rt_template_read(in->tokenizer, in->name, json_object_get(settings, "post_processor"), in->err);
    if (status != RETORT_OK) return status;
    read_facts(in, json_object_get(settings, "facts"));
    status = make_tables(in);
    return status == RETORT_OK ? keep_settings(in, settings) : status;
}

retort_status rt_tokenizer_build(rt_tokenizer **out, const char *name, json_t *settings, const void *pieces,
                                 size_t size, retort_error *err) {
    builder in = {rt_calloc(1, sizeof *in.tokenizer), name, err};
    if (in.tokenizer == NULL) return rt_fail_nomem(err, sizeof *in.tokenizer);
    retort_status status = read_settings(&in, settings, pieces, size);
    if (status == RETORT_OK) {
        *out = in.tokenizer;
    } else {
        rt_tokenizer_free(in.tokenizer);
    }
    return status;
}
