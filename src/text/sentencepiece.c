/* SPDX-License-Identifier: Apache-2.0
 * A sentencepiece .model (a protobuf ModelProto), as transformers 4 makes a tokenizer of it: the tokenizer.json that this
 * saves. Each class gives ids and normalizers its own way. */
#include "text/checkpoint.h"

#include "text/charsmap.h"
#include "base/cursor.h"
#include "base/names.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

/* Fields of ModelProto and of its parts. */
enum {
    MODEL_PIECE = 1,
    MODEL_TRAINER = 2,
    MODEL_NORMALIZER = 3,
    PIECE_TEXT = 1,
    PIECE_SCORE = 2,
    PIECE_TYPE = 3,
    TRAINER_TYPE = 3,
    TRAINER_SUFFIX = 24,
    TRAINER_BYTES = 35,
    TRAINER_UNKNOWN = 40,
    NORMALIZER_MAP = 2,
    NORMALIZER_DUMMY = 3,
    NORMALIZER_ESCAPE = 5
};
enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, MODEL_UNIGRAM = 1 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
static const double NOT_USED = -100; /* the score of pieces that a class does not want */

typedef struct sp_field {
    uint64_t number, value; /* of a varint, or the bits of a number */
    rt_cursor bytes;
} sp_field;

/* What a class of transformers does. `front`: pieces before those of the file, of which `skipped` go. */
typedef struct sp_family {
    const char *class, *model_type;
    const char *special[RT_SPECIALS];
    struct {
        const char *piece;
        double score;
    } front[6];
    size_t skipped;
    bool mask_is_piece;      /* the last one */
    bool typed;              /* the second text is of type 1, with one separator before it */
    bool albert, strip_left; /* its normalizers; Strip on both sides and at the begin */
} sp_family;

static const sp_family families[] = {
    {.class = "XLMRobertaTokenizer",
     .model_type = "xlm-roberta",
     .special = {"<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .front = {{"<s>", 0}, {"<pad>", 0}, {"</s>", 0}, {"<unk>", 0}},
     .skipped = 3,
     .mask_is_piece = true},
    {.class = "CamembertTokenizer",
     .model_type = "camembert",
     .special = {"<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     .front = {{"<s>NOTUSED", 0}, {"<pad>", 0}, {"</s>NOTUSED", 0}, {"<unk>", 0}, {"<unk>NOTUSED", -100}},
     .skipped = 1,
     .mask_is_piece = true},
    {.class = "AlbertTokenizer",
     .model_type = "albert",
     .special = {"<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     .typed = true,
     .albert = true},
    {.class = "DebertaV2Tokenizer",
     .model_type = "deberta-v2",
     .special = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     .typed = true,
     .strip_left = true},
};

typedef struct sp_reader {
    const char *name;
    retort_error *err;
    json_t *config;
    const sp_family *family;
    json_t *vocab, *added; /* [[piece, score], …]; tokens that are looked for in the text */
    size_t pieces;         /* of the file, so far */
    uint64_t unknown, type;
    rt_cursor map;
    bool suffix, bytes, dummy, escape;
} sp_reader;

/* ---- Protobuf ----------------------------------------------------------------------------------------- */

static bool take_varint(rt_cursor *at, uint64_t *out) {
    uint8_t byte = 0x80;
    *out = 0;
    for (int shift = 0; shift < 64 && byte >= 0x80; shift += 7) {
        if (!rt_take_u8(at, &byte)) return false;
        *out |= (uint64_t)(byte & 0x7F) << shift;
    }
    return byte < 0x80;
}

/* False at the end, and where the bytes are no field: then *fine is false. */
static bool next_field(rt_cursor *at, sp_field *out, bool *fine) {
    uint64_t tag, length;
    uint32_t word;
    if (!*fine || rt_cursor_left(at) == 0) return false;
    *fine = take_varint(at, &tag);
    *out = (sp_field){.number = tag >> 3};
    switch (tag & 7) {
    case WIRE_VARINT:
        *fine = *fine && take_varint(at, &out->value);
        break;
    case WIRE_64:
        *fine = *fine && rt_take_u64(at, &out->value);
        break;
    case WIRE_BYTES:
        *fine = *fine && take_varint(at, &length) && length <= rt_cursor_left(at);
        if (*fine) out->bytes = rt_cursor_make(rt_take(at, (size_t)length), (size_t)length);
        break;
    case WIRE_32:
        *fine = *fine && rt_take_u32(at, &word);
        if (*fine) out->value = word;
        break;
    default:
        *fine = false;
    }
    return *fine;
}

/* ---- Parts -------------------------------------------------------------------------------------------- */

static retort_status no_memory(const sp_reader *r) {
    return rt_fail(r->err, RETORT_NOMEM, "%s: out of memory", r->name);
}

static retort_status no_protobuf(const sp_reader *r) {
    return rt_fail(r->err, RETORT_FORMAT, "%s: not a sentencepiece model", r->name);
}

/* ALBERT does not want numbers with a comma behind them. */
static bool ends_with_digit_and_comma(const char *text, size_t length) {
    return length >= 2 && text[length - 1] == ',' && text[length - 2] >= '0' && text[length - 2] <= '9';
}

static retort_status add_piece(sp_reader *r, const char *text, size_t length, double score) {
    if (r->family->albert && ends_with_digit_and_comma(text, length)) score += NOT_USED;
    json_t *item = json_pack("[o,f]", json_stringn(text, length), score);
    return item != NULL && json_array_append_new(r->vocab, item) == 0 ? RETORT_OK : no_memory(r);
}

static retort_status add_token(sp_reader *r, const char *text, size_t length, bool special) {
    json_t *token = json_pack("{s:o,s:b,s:b}", "content", json_stringn(text, length), "special", special,
                              "normalized", 0);
    return token != NULL && json_array_append_new(r->added, token) == 0 ? RETORT_OK : no_memory(r);
}

static retort_status read_piece(sp_reader *r, rt_cursor at) {
    sp_field field;
    rt_cursor text = {0};
    uint64_t type = TYPE_NORMAL;
    float score = 0;
    bool fine = true;
    size_t bad, number = r->pieces++;
    while (next_field(&at, &field, &fine)) {
        if (field.number == PIECE_TEXT) text = field.bytes;
        if (field.number == PIECE_TYPE) type = field.value;
        if (field.number == PIECE_SCORE) {
            uint32_t bits = (uint32_t)field.value;
            memcpy(&score, &bits, sizeof score);
        }
    }
    size_t length = rt_cursor_left(&text);
    if (!fine) return no_protobuf(r);
    if (!isfinite(score))
        return rt_fail(r->err, RETORT_FORMAT, "%s: the score of piece %zu is not a number", r->name, number);
    if (length > 0 && (!rt_utf8_valid(text.at, length, &bad) || memchr(text.at, '\0', length) != NULL))
        return rt_fail(r->err, RETORT_FORMAT, "%s: piece %zu is not valid UTF-8 text", r->name, number);
    const char *piece = length > 0 ? (const char *)text.at : "";
    retort_status status = RETORT_OK;
    if (type == TYPE_CONTROL || type == TYPE_USER) status = add_token(r, piece, length, type == TYPE_CONTROL);
    if (status != RETORT_OK || number < r->family->skipped) return status;
    return add_piece(r, piece, length, (double)score);
}

static retort_status read_settings(sp_reader *r, rt_cursor at, bool trainer) {
    sp_field field;
    bool fine = true;
    while (next_field(&at, &field, &fine)) {
        if (trainer && field.number == TRAINER_TYPE) r->type = field.value;
        if (trainer && field.number == TRAINER_SUFFIX) r->suffix = field.value != 0;
        if (trainer && field.number == TRAINER_BYTES) r->bytes = field.value != 0;
        if (trainer && field.number == TRAINER_UNKNOWN) r->unknown = field.value;
        if (!trainer && field.number == NORMALIZER_MAP) r->map = field.bytes;
        if (!trainer && field.number == NORMALIZER_DUMMY) r->dummy = field.value != 0;
        if (!trainer && field.number == NORMALIZER_ESCAPE) r->escape = field.value != 0;
    }
    return fine ? RETORT_OK : no_protobuf(r);
}

static retort_status read_model(sp_reader *r, rt_cursor at) {
    sp_field field;
    bool fine = true;
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && r->family->front[i].piece != NULL; i++) {
        const char *piece = r->family->front[i].piece;
        status = add_piece(r, piece, strlen(piece), r->family->front[i].score);
    }
    while (status == RETORT_OK && next_field(&at, &field, &fine)) {
        if (field.number == MODEL_PIECE) status = read_piece(r, field.bytes);
        if (field.number == MODEL_TRAINER) status = read_settings(r, field.bytes, true);
        if (field.number == MODEL_NORMALIZER) status = read_settings(r, field.bytes, false);
    }
    if (status == RETORT_OK && (!fine || r->pieces == 0)) status = no_protobuf(r);
    if (status == RETORT_OK && r->family->mask_is_piece) status = add_piece(r, "<mask>", strlen("<mask>"), 0);
    return status;
}

static retort_status check_model(const sp_reader *r) {
    const char *what = r->type != MODEL_UNIGRAM ? "a model_type other than Unigram"
                       : r->suffix              ? "treat_whitespace_as_suffix"
                       : r->bytes               ? "byte_fallback"
                       : !r->dummy              ? "a normalizer without add_dummy_prefix"
                       : !r->escape             ? "a normalizer without escape_whitespaces"
                                                : NULL;
    if (what == NULL) return RETORT_OK;
    return rt_fail(r->err, RETORT_UNSUPPORTED, "%s: %s is not supported for %s", r->name, what,
                   r->family->class);
}

/* ---- The tokenizer.json ------------------------------------------------------------------------------- */

static json_t *map_part(const sp_reader *r) {
    rt_buffer text = {0};
    rt_base64_encode(&text, r->map.at, rt_cursor_left(&r->map));
    json_t *part = text.failed ? NULL
                               : json_pack("{s:s,s:s%}", "type", "Precompiled", "precompiled_charsmap",
                                           text.data, text.length);
    rt_buffer_free(&text);
    return part;
}

static json_t *replace_part(const char *kind, const char *pattern, const char *content) {
    return json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", kind, pattern, "content", content);
}

static json_t *strip_part(bool left) {
    return json_pack("{s:s,s:b,s:b}", "type", "Strip", "strip_left", left, "strip_right", 1);
}

/* An optional flag of tokenizer_config.json. */
static bool flag(const sp_reader *r, const char *key, bool missing) {
    const json_t *value = json_object_get(r->config, key);
    return json_is_boolean(value) ? json_is_true(value) : missing;
}

static json_t *normalizer_of(const sp_reader *r) {
    const sp_family *family = r->family;
    bool albert = family->albert, plain = !albert && !family->strip_left;
    bool strips = albert && !flag(r, "keep_accents", false),
         lowers = !plain && flag(r, "do_lower_case", albert);
    json_t *list = json_array();
    bool fine = list != NULL;
    if (albert) fine = fine && json_array_append_new(list, replace_part("String", "``", "\"")) == 0;
    if (albert) fine = fine && json_array_append_new(list, replace_part("String", "''", "\"")) == 0;
    if (strips) fine = fine && json_array_append_new(list, json_pack("{s:s}", "type", "NFKD")) == 0;
    if (strips) fine = fine && json_array_append_new(list, json_pack("{s:s}", "type", "StripAccents")) == 0;
    if (lowers) fine = fine && json_array_append_new(list, json_pack("{s:s}", "type", "Lowercase")) == 0;
    if (family->strip_left) fine = fine && json_array_append_new(list, strip_part(true)) == 0;
    if (rt_cursor_left(&r->map) > 0) fine = fine && json_array_append_new(list, map_part(r)) == 0;
    if (plain) fine = fine && json_array_append_new(list, strip_part(false)) == 0;
    fine = fine &&
           json_array_append_new(list, replace_part("Regex", " {2,}", plain ? "\xE2\x96\x81" : " ")) == 0;
    if (fine) return json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", list);
    json_decref(list);
    return NULL;
}

static json_t *pre_tokenizer_of(const sp_reader *r) {
    json_t *metaspace = json_pack("{s:s}", "type", "Metaspace");
    if (!r->family->strip_left || !flag(r, "split_by_punct", false)) return metaspace;
    return json_pack("{s:s,s:[{s:s,s:s},o]}", "type", "Sequence", "pretokenizers", "type", "Punctuation",
                     "behavior", "Isolated", metaspace);
}

static const char *special(const sp_reader *r, rt_special which) {
    return rt_special_text(r->config, &rt_unigram_row, which);
}

/* Ids are those that the vocabulary has. */
static json_t *post_processor_of(const sp_reader *r) {
    const char *cls = special(r, RT_CLS), *sep = special(r, RT_SEP);
    return json_pack("{s:s,s:[s],s:[s],s:b}", "type",
                     r->family->typed ? "BertProcessing" : "RobertaProcessing", "cls", cls, "sep", sep,
                     "trim_offsets", 0);
}

/* What goes into the list of added tokens: those that tokenizer_config.json describes, the special tokens, and the
 * control and user symbols of the file. */
static json_t *candidates_of(const sp_reader *r) {
    json_t *list = json_array(), *token;
    const char *id;
    bool fine = list != NULL;
    json_object_foreach(json_object_get(r->config, "added_tokens_decoder"), id, token) {
        fine = fine && json_array_append(list, token) == 0;
    }
    for (size_t i = 0; i < RT_SPECIALS && fine; i++) {
        bool lstrip = i == RT_MASK && !r->family->strip_left;
        token = json_pack("{s:s,s:b,s:b,s:b}", "content", special(r, (rt_special)i), "special", 1,
                          "normalized", 0, "lstrip", lstrip);
        fine = json_array_append_new(list, token) == 0;
    }
    if (fine && json_array_extend(list, r->added) == 0) return list;
    json_decref(list);
    return NULL;
}

/* Each content once, as it is described first. */
static json_t *added_of(const sp_reader *r) {
    json_t *list = json_array(), *all = candidates_of(r), *token;
    rt_names known = {0};
    size_t i;
    bool fine = list != NULL && all != NULL;
    json_array_foreach(all, i, token) {
        int seen = 0;
        const char *text = json_string_value(json_object_get(token, "content"));
        if (text == NULL || *text == '\0') continue;
        fine = fine && rt_names_add(&known, text, 0, &seen) &&
               (seen >= 0 || json_array_append(list, token) == 0);
    }
    rt_names_free(&known);
    json_decref(all);
    if (fine) return list;
    json_decref(list);
    return NULL;
}

static retort_status find_family(sp_reader *r) {
    const char *class = json_string_value(json_object_get(r->config, "tokenizer_class"));
    const char *type = json_string_value(json_object_get(r->config, "model_type"));
    size_t length = class != NULL ? strlen(class) : 0;
    if (length > 4 && strcmp(class + length - 4, "Fast") == 0) length -= 4;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        bool named = class != NULL && strlen(families[i].class) == length &&
                     memcmp(families[i].class, class, length) == 0;
        if (named || (class == NULL && type != NULL && strcmp(families[i].model_type, type) == 0))
            r->family = &families[i];
    }
    if (r->family != NULL) return RETORT_OK;
    return rt_fail(r->err, RETORT_UNSUPPORTED,
                   "%s: a sentencepiece model of tokenizer_class '%.80s' is not supported, only of "
                   "XLMRoberta, Camembert, "
                   "Albert and DebertaV2; a tokenizer.json beside it would do",
                   r->name, class != NULL ? class : "none");
}

/* What neither file says of the special tokens is as the class has it. */
static bool set_specials(sp_reader *r) {
    bool fine = true;
    for (size_t i = 0; i < RT_SPECIALS && fine; i++) {
        if (rt_token_text(json_object_get(r->config, rt_special_keys[i])) == NULL)
            fine =
                json_object_set_new(r->config, rt_special_keys[i], json_string(r->family->special[i])) == 0;
    }
    return fine;
}

static retort_status make_settings(sp_reader *r, rt_cursor data, json_t **out) {
    retort_status status = find_family(r);
    r->vocab = json_array();
    r->added = json_array();
    if (status == RETORT_OK && (r->vocab == NULL || r->added == NULL || !set_specials(r)))
        status = no_memory(r);
    if (status == RETORT_OK) status = read_model(r, data);
    if (status == RETORT_OK) status = check_model(r);
    if (status != RETORT_OK) return status;
    json_int_t unknown = r->family->front[0].piece != NULL ? 3 : (json_int_t)rt_min(r->unknown, INT32_MAX);
    *out = json_pack("{s:s,s:o,s:o,s:o,s:o,s:{s:s},s:{s:s,s:I,s:O}}", "version", "1.0", "added_tokens",
                     added_of(r), "normalizer", normalizer_of(r), "pre_tokenizer", pre_tokenizer_of(r),
                     "post_processor", post_processor_of(r), "decoder", "type", "Metaspace", "model", "type",
                     "Unigram", "unk_id", unknown, "vocab", r->vocab);
    return *out != NULL ? RETORT_OK : no_memory(r);
}

retort_status rt_sentencepiece_settings(json_t **out, const char *name, json_t *config, const void *data,
                                        size_t size, retort_error *err) {
    sp_reader r = {
        .name = name, .err = err, .config = config, .type = MODEL_UNIGRAM, .dummy = true, .escape = true};
    retort_status status = make_settings(&r, rt_cursor_make(data, size), out);
    json_decref(r.vocab);
    json_decref(r.added);
    return status;
}
