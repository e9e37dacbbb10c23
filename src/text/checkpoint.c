/* SPDX-License-Identifier: Apache-2.0
 * The files of a checkpoint: tokenizer.json, or vocab.txt as transformers 5 makes a BertTokenizer of it, with
 * tokenizer_config.json and special_tokens_map.json. */
#include "text/state.h"

#include "base/map.h"
#include "format/json.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* transformers writes 1e30 for "no maximum". */
static const double MAX_LENGTH = 1e9;

static const char *const special_names[] = {"unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
static const char *const special_usual[] = {"[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};
enum { SPECIALS = sizeof special_names / sizeof *special_names };

/* ---- tokenizer_config.json ---------------------------------------------------------------------------- */

/* "[CLS]" or {"content": "[CLS]", …} */
static const char *token_text(const json_t *token) {
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static const char *special_text(const json_t *config, size_t index) {
    const char *text = token_text(json_object_get(config, special_names[index]));
    return text != NULL ? text : special_usual[index];
}

/* model_max_length, or what transformers 2 called it. */
static double stated_length(const json_t *config) {
    const json_t *length = json_object_get(config, "model_max_length");
    if (length == NULL || json_is_null(length)) length = json_object_get(config, "max_len");
    return json_number_value(length);
}

/* Whether a text that is too long loses its beginning: what the configuration says, else the "truncation" of
 * a tokenizer.json. */
static bool cuts_left(const json_t *config, const json_t *truncation) {
    const char *side = json_string_value(json_object_get(config, "truncation_side"));
    if (side == NULL) side = json_string_value(json_object_get(truncation, "direction"));
    return side != NULL && strcasecmp(side, "left") == 0;
}

/* What rt_tokenizer_describe tells and the tokenizer itself does not need. */
static json_t *make_facts(const json_t *config, const json_t *truncation) {
    json_t *facts = json_object();
    double value = stated_length(config);
    bool fine = facts != NULL;
    for (size_t i = 0; i < SPECIALS && fine; i++) {
        fine = json_object_set_new(facts, special_names[i], json_string(special_text(config, i))) == 0;
    }
    if (fine && value >= 1 && value <= MAX_LENGTH) {
        fine = json_object_set_new(facts, "max_length", json_integer((json_int_t)value)) == 0;
    }
    if (fine && cuts_left(config, truncation)) {
        fine = json_object_set_new(facts, "truncation_side", json_string("left")) == 0;
    }
    if (fine) return facts;
    json_decref(facts);
    return NULL;
}

/* Tokenizers of transformers, a row each, less "Fast". */
typedef enum class_kind {
    CLASS_BERT,     /* BertTokenizer by another name: it makes its normalizer of the configuration */
    CLASS_FILE,     /* does what tokenizer.json says */
    CLASS_DIFFERENT /* cuts texts otherwise, whatever files there are */
} class_kind;
static const struct {
    const char *name;
    class_kind kind;
} classes[] = {
    {"BertTokenizer", CLASS_BERT},
    {"DistilBertTokenizer", CLASS_BERT},
    {"ElectraTokenizer", CLASS_BERT},
    {"MobileBertTokenizer", CLASS_BERT},
    {"ConvBertTokenizer", CLASS_BERT},
    {"SqueezeBertTokenizer", CLASS_BERT},
    {"RetriBertTokenizer", CLASS_BERT},
    {"LxmertTokenizer", CLASS_BERT},
    {"LayoutLMTokenizer", CLASS_BERT},
    {"DPRContextEncoderTokenizer", CLASS_BERT},
    {"DPRQuestionEncoderTokenizer", CLASS_BERT},
    {"DPRReaderTokenizer", CLASS_BERT},
    {"PreTrainedTokenizer", CLASS_FILE},
    {"TokenizersBackend", CLASS_FILE},
    {"BertJapaneseTokenizer", CLASS_DIFFERENT},
};
enum { CLASSES = sizeof classes / sizeof *classes };

/* The class that transformers would take; NULL: BertTokenizer, by the model's type. */
static const char *class_of(const json_t *config) {
    const char *class = json_string_value(json_object_get(config, "tokenizer_class"));
    if (class != NULL) return class;
    if (json_object_get(config, "word_tokenizer_type") != NULL) return "BertJapaneseTokenizer";
    const json_t *own = json_object_get(json_object_get(config, "auto_map"), "AutoTokenizer");
    if (json_is_array(own)) own = json_array_get(own, 0);
    class = json_string_value(own);
    const char *dot = class != NULL ? strrchr(class, '.') : NULL;
    return dot != NULL ? dot + 1 : class;
}

/* The row of a class; CLASSES: none. */
static size_t find_class(const char *class) {
    size_t length = strlen(class), i = 0;
    if (length > 4 && strcmp(class + length - 4, "Fast") == 0) length -= 4;
    while (i < CLASSES && (strlen(classes[i].name) != length || memcmp(classes[i].name, class, length) != 0))
        i++;
    return i;
}

static bool has_bert_class(const json_t *config) {
    const char *class = class_of(config);
    size_t row = class != NULL ? find_class(class) : 0;
    return row < CLASSES && classes[row].kind == CLASS_BERT;
}

/* Refuses a class that cuts texts otherwise than we do, and one that may: what it does is in a program. A
 * tokenizer.json states all steps, so that it is followed, with a warning. */
static retort_status check_class(const char *name, const json_t *config, bool file, retort_error *err) {
    const char *class = class_of(config);
    size_t row = class != NULL ? find_class(class) : 0;
    bool fine =
        row < CLASSES ? classes[row].kind == CLASS_BERT || (file && classes[row].kind == CLASS_FILE) : file;
    if (fine) return RETORT_OK;
    return rt_fail(err, RETORT_UNSUPPORTED,
                   "%s: tokenizer_class '%.80s' of this folder is not read: it cuts texts otherwise than "
                   "BertTokenizer; --tokenizer PATH takes other files",
                   name, class);
}

static retort_status check_side(const char *name, const json_t *config, retort_error *err) {
    const json_t *value = json_object_get(config, "truncation_side");
    const char *side = json_string_value(value);
    if (value == NULL || json_is_null(value)) return RETORT_OK;
    if (side != NULL && (strcmp(side, "left") == 0 || strcmp(side, "right") == 0)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%s: truncation_side of tokenizer_config.json is neither left nor right", name);
}

/* What transformers would do otherwise than the file says: its BertTokenizer takes these defaults where
 * tokenizer_config.json is silent, and not what tokenizer.json has. */
static void warn_of_silence(rt_tokenizer *tokenizer, const char *name, const json_t *config) {
    const rt_normalizer *ours = &tokenizer->normalizer;
    const json_t *lower = json_object_get(config, "do_lower_case"),
                 *strip = json_object_get(config, "strip_accents"),
                 *ideographs = json_object_get(config, "tokenize_chinese_chars");
    bool theirs_lower = lower == NULL || json_is_true(lower);
    bool theirs_strip = strip == NULL || json_is_null(strip) ? ours->lower : json_is_true(strip);
    const struct {
        const char *key;
        bool theirs, ours;
    } rows[] = {{"do_lower_case", theirs_lower, ours->lower},
                {"strip_accents", theirs_strip, ours->strip},
                {"tokenize_chinese_chars", ideographs == NULL || json_is_true(ideographs), ours->ideographs}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].theirs == rows[i].ours) continue;
        rt_tokenizer_warn(
            tokenizer,
            "%s: %s is %s, as the file has it; tokenizer_config.json does not say so, and transformers "
            "takes %s: write it there",
            name, rows[i].key, rows[i].ours ? "true" : "false", rows[i].theirs ? "true" : "false");
    }
}

static void warn(rt_tokenizer *tokenizer, const char *name, const json_t *normalizer, const json_t *config) {
    const char *class = class_of(config);
    if (class != NULL && find_class(class) == CLASSES) {
        rt_tokenizer_warn(tokenizer,
                          "%s: tokenizer_class '%.80s' is not known: texts are cut as this file says", name,
                          class);
    }
    if (json_is_object(normalizer) && has_bert_class(config)) warn_of_silence(tokenizer, name, config);
}

/* A BertTokenizer of transformers 4 and 5 does what tokenizer_config.json says, also against
 * tokenizer.json. */
static bool override_normalizer(json_t *normalizer, const json_t *config) {
    static const char *const keys[][2] = {{"do_lower_case", "lowercase"},
                                          {"strip_accents", "strip_accents"},
                                          {"tokenize_chinese_chars", "handle_chinese_chars"}};
    bool fine = true;
    if (!json_is_object(normalizer) || !has_bert_class(config)) return true;
    for (size_t i = 0; i < 3 && fine; i++) {
        json_t *value = json_object_get(config, keys[i][0]);
        if (value != NULL) fine = json_object_set(normalizer, keys[i][1], value) == 0;
    }
    return fine;
}

static retort_status parse_config(json_t **out, const char *name, const void *config, size_t size,
                                  retort_error *err) {
    char text[PATH_MAX];
    *out = NULL;
    if (config == NULL) return RETORT_OK;
    snprintf(text, sizeof text, "tokenizer_config.json of %s", name);
    return rt_json_parse(out, text, config, size, err);
}

/* ---- tokenizer.json ----------------------------------------------------------------------------------- */

static retort_status place_piece(const char *name, const char *piece, const json_t *id, const char **pieces,
                                 size_t count, retort_error *err) {
    json_int_t at = json_integer_value(id);
    if (!json_is_integer(id) || at < 0 || (size_t)at >= count) {
        return rt_fail(err, RETORT_FORMAT,
                       "%s: vocab: the id of \"%.64s\" is %lld, with %zu pieces it must be 0 to %zu", name,
                       piece, (long long)at, count, count - 1);
    }
    if (pieces[at] != NULL) {
        return rt_fail(err, RETORT_FORMAT, "%s: vocab: \"%.64s\" and \"%.64s\" both have id %lld", name,
                       pieces[at], piece, (long long)at);
    }
    if (strchr(piece, '\n') != NULL) {
        return rt_fail(err, RETORT_UNSUPPORTED, "%s: vocab: piece %lld contains a line feed", name,
                       (long long)at);
    }
    pieces[at] = piece;
    return RETORT_OK;
}

/* {"piece": id, …} to lines in the order of the ids. With n pieces and n places none stays empty. */
static retort_status vocab_lines(rt_buffer *out, const char *name, json_t *vocab, retort_error *err) {
    size_t count = json_object_size(vocab);
    const char **pieces = rt_calloc(count, sizeof *pieces), *piece;
    json_t *id;
    retort_status status = pieces == NULL ? rt_fail_nomem(err, count * sizeof *pieces) : RETORT_OK;
    if (count == 0) status = rt_fail(err, RETORT_FORMAT, "%s: model: no vocab", name);
    json_object_foreach(vocab, piece, id) {
        if (status == RETORT_OK) status = place_piece(name, piece, id, pieces, count, err);
    }
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        rt_buffer_text(out, pieces[i]);
        rt_buffer_append(out, "\n", 1);
        if (out->failed) status = rt_fail_nomem(err, out->length);
    }
    free(pieces);
    return status;
}

/* A Sequence of one part is that part. */
static bool unwrap(json_t *root, const char *key, const char *list) {
    json_t *part = json_object_get(root, key), *parts = json_object_get(part, list);
    const char *type = json_string_value(json_object_get(part, "type"));
    if (type == NULL || strcmp(type, "Sequence") != 0 || json_array_size(parts) != 1) return true;
    return json_object_set(root, key, json_array_get(parts, 0)) == 0;
}

static bool unwrap_parts(json_t *root) {
    return unwrap(root, "normalizer", "normalizers") && unwrap(root, "pre_tokenizer", "pretokenizers") &&
           unwrap(root, "post_processor", "processors");
}

static retort_status from_root(rt_tokenizer **out, const char *name, json_t *root, const json_t *config,
                               retort_error *err) {
    json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
    const rt_token_model_row *row;
    rt_buffer lines = {0};
    retort_status status = rt_token_model_row_of(&row, name, model, err);
    if (status == RETORT_OK) status = check_class(name, config, true, err);
    if (status == RETORT_OK) status = check_side(name, config, err);
    if (status == RETORT_OK) status = vocab_lines(&lines, name, vocab, err);
    if (status == RETORT_OK) {
        json_object_del(model, "vocab");
        if (!unwrap_parts(root) ||
            json_object_set_new(root, "facts", make_facts(config, json_object_get(root, "truncation"))) !=
                0 ||
            !override_normalizer(json_object_get(root, "normalizer"), config)) {
            status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", name);
        }
    }
    if (status == RETORT_OK) status = rt_tokenizer_build(out, name, root, lines.data, lines.length, err);
    if (status == RETORT_OK) warn(*out, name, json_object_get(root, "normalizer"), config);
    rt_buffer_free(&lines);
    return status;
}

retort_status rt_tokenizer_from_json(rt_tokenizer **out, const char *name, const void *json, size_t size,
                                     const void *config, size_t config_size, retort_error *err) {
    json_t *root = NULL, *settings = NULL;
    retort_status status = parse_config(&settings, name, config, config_size, err);
    if (status == RETORT_OK) status = rt_json_parse(&root, name, json, size, err);
    if (status == RETORT_OK) status = from_root(out, name, root, settings, err);
    json_decref(settings);
    json_decref(root);
    return status;
}

/* ---- vocab.txt ---------------------------------------------------------------------------------------- */

/* Lines as Python reads them: "\r\n" and "\r" end a line, too. */
static bool plain_lines(rt_buffer *out, const char *text, size_t size) {
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
        fine = add_token(list, token_text(token), token);
    }
    free(ids);
    return fine;
}

/* Tokens that the vocabulary has not (often [MASK]) are left out where transformers would number them beyond
 * the vocabulary and so beyond the model's embeddings; added_tokens_decoder says which are really there. */
static json_t *make_added(json_t *config, const rt_buffer *lines) {
    static const char *const more_keys[] = {"additional_special_tokens", "extra_special_tokens"};
    added_list list = {.tokens = json_array()};
    bool fine =
        list.tokens != NULL && add_decoder_tokens(&list, json_object_get(config, "added_tokens_decoder"));
    for (size_t i = 0; i < SPECIALS && fine; i++) {
        const char *text = special_text(config, i);
        if (has_line(lines, text)) fine = add_token(&list, text, NULL);
    }
    for (size_t i = 0; i < 2 && fine; i++) {
        const json_t *more = json_object_get(config, more_keys[i]);
        for (size_t k = 0; k < json_array_size(more) && fine; k++) {
            fine = add_token(&list, token_text(json_array_get(more, k)), NULL);
        }
    }
    rt_names_free(&list.known);
    if (fine) return list.tokens;
    json_decref(list.tokens);
    return NULL;
}

/* The tokenizer.json that BertTokenizer(vocab.txt) of transformers would save. */
static json_t *make_settings(json_t *config, const rt_buffer *lines) {
    json_t *normalizer = json_pack("{s:s,s:b,s:b,s:n,s:b}", "type", "BertNormalizer", "clean_text", 1,
                                   "handle_chinese_chars", 1, "strip_accents", "lowercase", 1);
    if (normalizer != NULL && !override_normalizer(normalizer, config)) {
        json_decref(normalizer);
        normalizer = NULL;
    }
    return json_pack("{s:s,s:o,s:o,s:{s:s},s:{s:s,s:[s],s:[s]},s:{s:s,s:s,s:s,s:i},s:o}", "version", "1.0",
                     "added_tokens", make_added(config, lines), "normalizer", normalizer, "pre_tokenizer",
                     "type", "BertPreTokenizer", "post_processor", "type", "BertProcessing", "cls",
                     special_text(config, 3), "sep", special_text(config, 1), "model", "type", "WordPiece",
                     "unk_token", special_text(config, 0), "continuing_subword_prefix", "##",
                     "max_input_chars_per_word", 100, "facts", make_facts(config, NULL));
}

static retort_status from_lines(rt_tokenizer **out, const char *name, const void *vocab, size_t size,
                                json_t *config, retort_error *err) {
    rt_buffer lines = {0};
    json_t *settings = NULL;
    retort_status checked = check_class(name, config, false, err);
    if (checked == RETORT_OK) checked = check_side(name, config, err);
    if (checked != RETORT_OK) return checked;
    if (plain_lines(&lines, vocab, size)) settings = make_settings(config, &lines);
    retort_status status = settings == NULL
                               ? rt_fail_nomem(err, size)
                               : rt_tokenizer_build(out, name, settings, lines.data, lines.length, err);
    json_decref(settings);
    rt_buffer_free(&lines);
    return status;
}

retort_status rt_tokenizer_from_vocab(rt_tokenizer **out, const char *name, const void *vocab, size_t size,
                                      const void *config, size_t config_size, retort_error *err) {
    json_t *settings = NULL;
    retort_status status = parse_config(&settings, name, config, config_size, err);
    if (status == RETORT_OK) status = from_lines(out, name, vocab, size, settings, err);
    json_decref(settings);
    return status;
}

/* ---- A folder ----------------------------------------------------------------------------------------- */

/* The object in folder/name, or an empty one when there is no such file. */
static retort_status load_object(json_t **out, const char *folder, const char *name, retort_error *err) {
    char path[PATH_MAX];
    if (rt_path_join(path, sizeof path, folder, name) && rt_is_file(path))
        return rt_json_load(out, path, err);
    *out = json_object();
    return *out != NULL ? RETORT_OK : rt_fail(err, RETORT_NOMEM, "%s: out of memory", folder);
}

/* The folders of google-research/bert do not say whether their vocabulary is lower-case. One that is has no
 * upper-case letters but in its special tokens. */
static bool has_upper_case(const char *text, size_t size) {
    for (size_t at = 0, end; at < size; at = end + 1) {
        for (end = at; end < size && text[end] != '\n';) end++;
        if (text[at] == '[') continue;
        for (size_t i = at; i < end; i++) {
            if (text[i] >= 'A' && text[i] <= 'Z') return true;
        }
    }
    return false;
}

static bool is_google_folder(const char *folder) {
    char path[PATH_MAX];
    if (rt_path_join(path, sizeof path, folder, "config.json") && rt_is_file(path)) return false;
    return rt_path_join(path, sizeof path, folder, "bert_config.json") && rt_is_file(path);
}

static retort_status from_files(rt_tokenizer **out, const char *folder, json_t *config, retort_error *err) {
    char path[PATH_MAX];
    rt_map map;
    json_t *root = NULL;
    if (rt_path_join(path, sizeof path, folder, "tokenizer.json") && rt_is_file(path)) {
        retort_status status = rt_json_load(&root, path, err);
        if (status == RETORT_OK) status = from_root(out, path, root, config, err);
        json_decref(root);
        return status;
    }
    if (!rt_path_join(path, sizeof path, folder, "vocab.txt") || !rt_is_file(path)) {
        return rt_fail(err, RETORT_IO, "%s: neither tokenizer.json nor vocab.txt in this folder", folder);
    }
    retort_status status = rt_map_open(&map, path, err);
    if (status != RETORT_OK) return status;
    if (is_google_folder(folder) && json_object_get(config, "do_lower_case") == NULL &&
        has_upper_case((const char *)map.data, map.size)) {
        if (json_object_set_new(config, "do_lower_case", json_false()) != 0)
            status = rt_fail_nomem(err, sizeof *config);
    }
    if (status == RETORT_OK) status = from_lines(out, path, map.data, map.size, config, err);
    rt_map_close(&map);
    return status;
}

/* config.json may name the class where tokenizer_config.json does not. */
static retort_status add_model_class(json_t *config, const char *folder, retort_error *err) {
    json_t *model = NULL;
    retort_status status = load_object(&model, folder, "config.json", err);
    json_t *class = json_object_get(model, "tokenizer_class");
    if (status == RETORT_OK && json_is_string(class) && json_is_object(config) &&
        json_object_get(config, "tokenizer_class") == NULL &&
        json_object_set(config, "tokenizer_class", class) != 0) {
        status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", folder);
    }
    json_decref(model);
    return status;
}

static bool is_special(const json_t *config, const char *content) {
    for (size_t i = 0; i < SPECIALS; i++) {
        if (strcmp(special_text(config, i), content) == 0) return true;
    }
    return false;
}

/* {"token": id, …}, which transformers before 4.34 saved: as added_tokens_decoder, which goes before it. */
static retort_status add_legacy_tokens(json_t *config, const char *folder, retort_error *err) {
    json_t *added = NULL, *decoder = json_object(), *id;
    const char *content;
    char key[32];
    retort_status status = load_object(&added, folder, "added_tokens.json", err);
    bool fine = decoder != NULL;
    if (status == RETORT_OK && !json_is_object(added))
        status = rt_fail(err, RETORT_FORMAT, "%s: added_tokens.json is not an object", folder);
    if (json_object_get(config, "added_tokens_decoder") == NULL && status == RETORT_OK) {
        json_object_foreach(added, content, id) {
            if (!json_is_integer(id)) {
                status =
                    rt_fail(err, RETORT_FORMAT,
                            "%s: added_tokens.json: the id of \"%.64s\" is no whole number", folder, content);
                break;
            }
            snprintf(key, sizeof key, "%lld", (long long)json_integer_value(id));
            bool special = is_special(config, content);
            json_t *token =
                json_pack("{s:s,s:b,s:b}", "content", content, "special", special, "normalized", !special);
            fine = fine && json_object_set_new(decoder, key, token) == 0;
        }
        if (fine && json_object_size(decoder) > 0)
            fine = json_object_set(config, "added_tokens_decoder", decoder) == 0;
    }
    if (!fine && status == RETORT_OK) status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", folder);
    json_decref(decoder);
    json_decref(added);
    return status;
}

retort_status rt_tokenizer_from_folder(rt_tokenizer **out, const char *folder, retort_error *err) {
    json_t *config = NULL, *specials = NULL;
    retort_status status = load_object(&config, folder, "tokenizer_config.json", err);
    if (status == RETORT_OK) status = add_model_class(config, folder, err);
    if (status == RETORT_OK) status = load_object(&specials, folder, "special_tokens_map.json", err);
    if (status == RETORT_OK &&
        (!json_is_object(config) || json_object_update_missing(config, specials) != 0)) {
        status = rt_fail(err, RETORT_FORMAT,
                         "%s: tokenizer_config.json or special_tokens_map.json is not an object", folder);
    }
    if (status == RETORT_OK) status = add_legacy_tokens(config, folder, err);
    if (status == RETORT_OK) status = from_files(out, folder, config, err);
    json_decref(specials);
    json_decref(config);
    return status;
}
