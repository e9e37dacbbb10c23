/* SPDX-License-Identifier: Apache-2.0
 * The files of a checkpoint: tokenizer.json, or vocab.json with merges.txt as transformers 4 makes a RobertaTokenizer of
 * them, or vocab.txt as transformers 5 makes a BertTokenizer of it, with
 * tokenizer_config.json and special_tokens_map.json. */
#include "text/checkpoint.h"

#include "text/state.h"
#include "base/map.h"
#include "format/json.h"
#include "format/path.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* transformers writes 1e30 for "no maximum". */
static const double MAX_LENGTH = 1e9;

/* ---- tokenizer_config.json ---------------------------------------------------------------------------- */

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

const char *rt_token_text(const json_t *token) {
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

const char *rt_special_text(const json_t *config, const rt_token_model_row *row, rt_special special) {
    const char *text = rt_token_text(json_object_get(config, rt_special_keys[special]));
    return text != NULL ? text : row->special[special];
}

json_t *rt_tokenizer_facts(const json_t *config, const json_t *truncation, const rt_token_model_row *row) {
    json_t *facts = json_object();
    double value = stated_length(config);
    bool fine = facts != NULL;
    for (size_t i = 0; i < RT_SPECIALS && fine; i++) {
        fine = json_object_set_new(facts, rt_special_keys[i],
                                   json_string(rt_special_text(config, row, (rt_special)i))) == 0;
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

static retort_status check_side(const char *name, const json_t *config, retort_error *err) {
    const json_t *value = json_object_get(config, "truncation_side");
    const char *side = json_string_value(value);
    if (value == NULL || json_is_null(value)) return RETORT_OK;
    if (side != NULL && (strcmp(side, "left") == 0 || strcmp(side, "right") == 0)) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT,
                   "%s: truncation_side of tokenizer_config.json is neither left nor right", name);
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
    pieces[at] = piece;
    return RETORT_OK;
}

/* With n pieces and n places none stays empty. */
retort_status rt_vocab_pieces(const char *name, json_t *vocab, const char ***pieces, size_t *count,
                              retort_error *err) {
    const char *piece;
    json_t *id;
    *count = json_object_size(vocab);
    *pieces = NULL;
    if (*count == 0) return rt_fail(err, RETORT_FORMAT, "%s: model: no vocab", name);
    *pieces = rt_calloc(*count, sizeof **pieces);
    retort_status status = *pieces == NULL ? rt_fail_nomem(err, *count * sizeof **pieces) : RETORT_OK;
    json_object_foreach(vocab, piece, id) {
        if (status == RETORT_OK) status = place_piece(name, piece, id, *pieces, *count, err);
    }
    if (status == RETORT_OK) return RETORT_OK;
    free(*pieces);
    *pieces = NULL;
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

retort_status rt_tokenizer_build_with(rt_tokenizer **out, const char *name, json_t *root,
                                      const rt_buffer *pieces, const rt_buffer *table, const rt_buffer *map,
                                      retort_error *err) {
    rt_vocabulary vocabulary = {.pieces = pieces->data, .size = pieces->length};
    rt_buffer block = {0};
    rt_vocabulary_join(&block, table, map);
    retort_status status = block.failed
                               ? rt_fail_nomem(err, table->length + map->length)
                               : rt_vocabulary_open(&vocabulary, name, block.data, block.length, err);
    if (status == RETORT_OK) status = rt_tokenizer_build(out, name, root, &vocabulary, err);
    if (status == RETORT_OK) {
        (*out)->own_block = block.data;
    } else {
        rt_buffer_free(&block);
    }
    return status;
}

static retort_status from_root(rt_tokenizer **out, const char *name, json_t *root, const json_t *config,
                               retort_error *err) {
    json_t *model = json_object_get(root, "model");
    const rt_token_model_row *row;
    rt_buffer pieces = {0}, table = {0}, map = {0};
    retort_status status = rt_token_model_row_of(&row, name, model, err);
    if (status == RETORT_OK) status = rt_tokenizer_class_check(name, config, RT_TOKENIZER_JSON, err);
    if (status == RETORT_OK) status = check_side(name, config, err);
    if (status == RETORT_OK) status = row->take(name, model, &pieces, &table, err);
    if (status == RETORT_OK)
        status = rt_normalizer_take(name, json_object_get(root, "normalizer"), &map, err);
    if (status == RETORT_OK) {
        if (!unwrap_parts(root) ||
            json_object_set_new(root, "facts",
                                rt_tokenizer_facts(config, json_object_get(root, "truncation"), row)) != 0 ||
            !rt_tokenizer_class_override(json_object_get(root, "normalizer"), config)) {
            status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", name);
        }
    }
    if (status == RETORT_OK) status = rt_tokenizer_build_with(out, name, root, &pieces, &table, &map, err);
    if (status == RETORT_OK) rt_tokenizer_class_warn(*out, name, json_object_get(root, "normalizer"), config);
    rt_buffer_free(&pieces);
    rt_buffer_free(&table);
    rt_buffer_free(&map);
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

static retort_status from_lines(rt_tokenizer **out, const char *name, const void *vocab, size_t size,
                                json_t *config, retort_error *err) {
    rt_buffer lines = {0};
    json_t *settings = NULL;
    retort_status checked = rt_tokenizer_class_check(name, config, RT_VOCAB_TXT, err);
    if (checked == RETORT_OK) checked = check_side(name, config, err);
    if (checked != RETORT_OK) return checked;
    if (rt_vocab_txt_lines(&lines, vocab, size)) settings = rt_vocab_txt_settings(config, &lines);
    const rt_vocabulary vocabulary = {.pieces = lines.data, .size = lines.length};
    retort_status status = settings == NULL ? rt_fail_nomem(err, size)
                                            : rt_tokenizer_build(out, name, settings, &vocabulary, err);
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

/* ---- A sentencepiece .model ---------------------------------------------------------------------------- */

static retort_status from_model(rt_tokenizer **out, const char *name, const void *data, size_t size,
                                json_t *config, retort_error *err) {
    json_t *root = NULL;
    retort_status status = rt_sentencepiece_settings(&root, name, config, data, size, err);
    if (status == RETORT_OK) status = from_root(out, name, root, config, err);
    json_decref(root);
    return status;
}

retort_status rt_tokenizer_from_sentencepiece(rt_tokenizer **out, const char *name, const void *model,
                                              size_t size, const void *config, size_t config_size,
                                              retort_error *err) {
    json_t *settings = NULL;
    retort_status status = parse_config(&settings, name, config, config_size, err);
    if (status == RETORT_OK && settings == NULL) settings = json_object();
    if (status == RETORT_OK) status = from_model(out, name, model, size, settings, err);
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

/* vocab.json and merges.txt. */
static retort_status from_merges(rt_tokenizer **out, const char *path, const char *folder, json_t *config,
                                 retort_error *err) {
    char vocab_path[PATH_MAX];
    rt_map map;
    json_t *vocab = NULL, *root = NULL;
    retort_status status = rt_tokenizer_class_check(folder, config, RT_MERGES_TXT, err);
    if (status == RETORT_OK && !rt_path_join(vocab_path, sizeof vocab_path, folder, "vocab.json"))
        status = rt_fail(err, RETORT_IO, "%s: the path of vocab.json is too long", folder);
    if (status == RETORT_OK) status = rt_json_load(&vocab, vocab_path, err);
    if (status == RETORT_OK) status = rt_map_open(&map, path, err);
    if (status == RETORT_OK) {
        status = rt_merges_txt_settings(&root, folder, config, vocab, (const char *)map.data, map.size, err);
        rt_map_close(&map);
    }
    if (status == RETORT_OK) status = from_root(out, folder, root, config, err);
    json_decref(root);
    json_decref(vocab);
    return status;
}

/* The name of the folder's sentencepiece model; false: it has none. */
static bool find_sentencepiece(char *path, size_t size, const char *folder) {
    static const char *const names[] = {"sentencepiece.bpe.model", "spiece.model", "spm.model"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (rt_path_join(path, size, folder, names[i]) && rt_is_file(path)) return true;
    }
    return false;
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
    if (find_sentencepiece(path, sizeof path, folder)) {
        retort_status status = rt_map_open(&map, path, err);
        if (status != RETORT_OK) return status;
        status = from_model(out, path, map.data, map.size, config, err);
        rt_map_close(&map);
        return status;
    }
    if (rt_path_join(path, sizeof path, folder, "merges.txt") && rt_is_file(path))
        return from_merges(out, path, folder, config, err);
    if (!rt_path_join(path, sizeof path, folder, "vocab.txt") || !rt_is_file(path)) {
        return rt_fail(
            err, RETORT_IO,
            "%s: neither tokenizer.json nor vocab.txt nor merges.txt nor a sentencepiece .model in this "
            "folder",
            folder);
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

/* config.json names the architecture, and may name the class where tokenizer_config.json does not. */
static retort_status add_model_class(json_t *config, const char *folder, retort_error *err) {
    json_t *model = NULL;
    retort_status status = load_object(&model, folder, "config.json", err);
    json_t *class = json_object_get(model, "tokenizer_class"), *type = json_object_get(model, "model_type");
    if (status == RETORT_OK && json_is_string(class) && json_is_object(config) &&
        json_object_get(config, "tokenizer_class") == NULL &&
        json_object_set(config, "tokenizer_class", class) != 0) {
        status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", folder);
    }
    if (status == RETORT_OK && json_is_string(type) && json_is_object(config) &&
        json_object_set(config, "model_type", type) != 0)
        status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", folder);
    json_decref(model);
    return status;
}

static bool is_special(const json_t *config, const char *content) {
    for (size_t i = 0; i < RT_SPECIALS; i++) {
        if (strcmp(rt_special_text(config, &rt_wordpiece_row, (rt_special)i), content) == 0) return true;
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
                            "%s: added_tokens.json: the id of \"%.64s\" is not an integer", folder, content);
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

retort_status rt_tokenizer_without_special(rt_tokenizer **out, const char *folder, retort_error *err) {
    char path[RT_PATH_SIZE];
    json_t *root = NULL;
    retort_status status = rt_path_in(path, folder, "tokenizer.json", err);
    if (status == RETORT_OK) status = rt_json_load(&root, path, err);
    if (status != RETORT_OK) return status;
    json_int_t most = json_integer_value(json_object_get(json_object_get(root, "truncation"), "max_length"));
    char *text = json_object_set_new(root, "post_processor", json_null()) == 0
                     ? json_dumps(root, JSON_COMPACT | JSON_ENSURE_ASCII)
                     : NULL;
    json_decref(root);
    if (text == NULL) return rt_fail(err, RETORT_FORMAT, "%s: not a JSON object, or out of memory", path);
    status = rt_tokenizer_from_json(out, path, text, strlen(text), NULL, 0, err);
    free(text);
    if (status == RETORT_OK && most > 0) (*out)->info.max_length = most;
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
