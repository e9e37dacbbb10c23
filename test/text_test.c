/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer against what the official library said (test/golden/make_tokenizer.py), and, where
 * $RETORT_SHARED has them, against its classes of all code points and 1,856 texts of 12 languages. */
#include "base/map.h"
#include "format/json.h"
#include "text/regex.h"
#include "text/charsmap.h"
#include "text/piece_trie.h"
#include "text/state.h"
#include "text/unicode.h"
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Files -------------------------------------------------------------------------------------------- */

static bool shared_path(char *out, size_t size, const char *name) {
    const char *shared = getenv("RETORT_SHARED");
    if (shared != NULL && rt_path_join(out, size, shared, name) && rt_is_file(out)) return true;
    print_message("skipped: $RETORT_SHARED/%s is not there\n", name);
    return false;
}

static void golden_path(char *out, size_t size, const char *name) {
    const char *root = getenv("RETORT_ROOT");
    snprintf(out, size, "%s/test/golden/%s", root != NULL ? root : ".", name);
}

static rt_tokenizer *tokenizer_of(json_t *settings) {
    rt_tokenizer *tokenizer = NULL;
    retort_error err;
    char *text = json_dumps(settings, JSON_COMPACT);
    if (rt_tokenizer_from_json(&tokenizer, "test", text, strlen(text), NULL, 0, &err) != RETORT_OK) {
        fail_msg("%s", err.text);
    }
    free(text);
    return tokenizer;
}

/* The models of tokenizer_models.json as tokenizer.json objects, each with the common vocabulary. */
static json_t *load_models(void) {
    char path[4096];
    json_t *root, *model;
    const char *name;
    size_t i;
    golden_path(path, sizeof path, "tokenizer_models.json");
    assert_int_equal(rt_json_load(&root, path, NULL), RETORT_OK);
    json_t *models = json_incref(json_object_get(root, "models")), *vocab = json_object(), *piece;
    json_array_foreach(json_object_get(root, "pieces"), i, piece) {
        json_object_set_new(vocab, json_string_value(piece), json_integer((json_int_t)i));
    }
    json_object_foreach(models, name, model) json_object_set(json_object_get(model, "model"), "vocab", vocab);
    json_decref(vocab);
    json_decref(root);
    return models;
}

/* The models of bpe_models.json (test/golden/make_bpe.py), each with its vocabulary and merges. */
static json_t *load_bpe_models(void) {
    char path[4096];
    json_t *root, *model;
    const char *name;
    golden_path(path, sizeof path, "bpe_models.json");
    assert_int_equal(rt_json_load(&root, path, NULL), RETORT_OK);
    json_t *models = json_incref(json_object_get(root, "models"));
    json_object_foreach(models, name, model) {
        json_t *part = json_object_get(model, "model"), *at = json_object_get(part, "vocabulary");
        json_object_update(
            part, json_array_get(json_object_get(root, "vocabularies"), (size_t)json_integer_value(at)));
    }
    json_decref(root);
    return models;
}

/* ---- Golden cases ------------------------------------------------------------------------------------- */

enum { MAX_CASE_WORDS = 16, MAX_IDS = 8192 };

static retort_text text_of(const json_t *text, const json_t *pair) {
    return (retort_text){json_string_value(text), json_string_length(text), json_string_value(pair),
                         json_string_length(pair)};
}

static rt_encode_options options_of(const json_t *asked, rt_word_cache *cache) {
    static const char *const names[] = {"longest_first", "only_first", "only_second"};
    const char *truncation = json_string_value(json_object_get(asked, "truncation"));
    rt_encode_options options = {
        .max_length = (size_t)json_integer_value(json_object_get(asked, "max_length")),
        .stride = (size_t)json_integer_value(json_object_get(asked, "stride")),
        .special_as_text = json_is_true(json_object_get(asked, "special_as_text")),
        .no_special = json_is_true(json_object_get(asked, "no_special")),
        .words = true,
        .side = json_object_get(asked, "direction") != NULL ? RETORT_SIDE_LEFT : RETORT_SIDE_MODEL,
        .cache = cache,
    };
    for (int i = 0; truncation != NULL && i < 3; i++) {
        if (strcmp(names[i], truncation) == 0) options.truncation = (rt_truncation)i;
    }
    return options;
}

static retort_status encode_case(const rt_tokenizer *tokenizer, const json_t *asked, rt_word_cache *cache,
                                 rt_encoding **out, size_t *count) {
    const json_t *words = json_object_get(asked, "words");
    rt_encode_options options = options_of(asked, cache);
    retort_text text = text_of(json_object_get(asked, "text"), json_object_get(asked, "pair"));
    if (json_is_true(json_object_get(asked, "windows"))) {
        return rt_encode_windows(tokenizer, &text, &options, 1000, out, count, NULL);
    }
    *count = 1;
    *out = calloc(1, sizeof **out);
    if (words == NULL) return rt_encode(tokenizer, &text, &options, *out, NULL);
    retort_text texts[MAX_CASE_WORDS];
    for (size_t i = 0; i < json_array_size(words); i++) texts[i] = text_of(json_array_get(words, i), NULL);
    return rt_encode_words(tokenizer, texts, json_array_size(words), &options, *out, NULL);
}

static bool list_is(const json_t *list, const int32_t *values, size_t count) {
    bool same = list == NULL || json_array_size(list) == count;
    for (size_t i = 0; i < count && same; i++) {
        same = values[i] == (list != NULL ? json_integer_value(json_array_get(list, i)) : 0);
    }
    return same;
}

static bool encoding_is(const rt_encoding *encoding, const json_t *expected) {
    const json_t *words = json_object_get(expected, "words");
    size_t count = encoding->count;
    return json_array_size(json_object_get(expected, "ids")) == count &&
           list_is(json_object_get(expected, "ids"), encoding->ids, count) &&
           list_is(json_object_get(expected, "types"), encoding->types, count) &&
           (words == NULL || list_is(words, encoding->words, count)) &&
           list_is(json_object_get(expected, "offsets"), (int32_t *)encoding->offsets, 2 * count);
}

static bool case_agrees(const rt_tokenizer *tokenizer, const json_t *asked, rt_word_cache *cache) {
    const json_t *expected = json_object_get(asked, "expect");
    rt_encoding *encodings = NULL;
    size_t count = 0;
    retort_status status = encode_case(tokenizer, asked, cache, &encodings, &count);
    bool same = json_is_null(expected) ? status == RETORT_ARGUMENT
                                       : status == RETORT_OK && count == json_array_size(expected);
    for (size_t i = 0; encodings != NULL && i < count; i++) {
        if (same && status == RETORT_OK) same = encoding_is(&encodings[i], json_array_get(expected, i));
        rt_encoding_free(&encodings[i]);
    }
    free(encodings);
    return same;
}

static bool ids_agree(const rt_tokenizer *tokenizer, const json_t *asked, rt_word_cache *cache) {
    const json_t *expected = json_object_get(asked, "expect");
    rt_encode_options options = options_of(asked, cache);
    retort_text text = text_of(json_object_get(asked, "text"), json_object_get(asked, "pair"));
    int32_t ids[MAX_IDS];
    size_t count = 0;
    if (text.text == NULL || json_is_true(json_object_get(asked, "windows"))) return true;
    if (rt_encode_ids(tokenizer, &text, &options, ids, MAX_IDS, &count, NULL) != RETORT_OK)
        return json_is_null(expected);
    const json_t *list = json_object_get(json_array_get(expected, 0), "ids");
    return json_array_size(list) == count && list_is(list, ids, count);
}

static bool all_paths_agree(const rt_tokenizer *tokenizer, const json_t *asked, rt_word_cache *cache) {
    bool same = case_agrees(tokenizer, asked, NULL) && ids_agree(tokenizer, asked, NULL);
    for (int again = 0; again < 2; again++) {
        same = same && case_agrees(tokenizer, asked, cache) && ids_agree(tokenizer, asked, cache);
    }
    return same;
}

/* Runs the cases of one model. */
static void run_cases_of(const rt_tokenizer *tokenizer, const char *file_name, const char *model) {
    char path[4096], *line = NULL;
    size_t capacity = 0, cases = 0;
    golden_path(path, sizeof path, file_name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    rt_word_cache *cache = rt_word_cache_new(tokenizer, 16);
    while (getline(&line, &capacity, file) > 0) {
        json_t *asked = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(asked);
        if (strcmp(json_string_value(json_object_get(asked, "model")), model) == 0) {
            if (!all_paths_agree(tokenizer, asked, cache)) fail_msg("%s: %s", model, line);
            cases++;
        }
        json_decref(asked);
    }
    assert_true(cases > 0);
    rt_word_cache_free(cache);
    free(line);
    fclose(file);
}

static void run_cases(const rt_tokenizer *tokenizer, const char *model) {
    run_cases_of(tokenizer, "tokenizer_cases.jsonl", model);
}

/* ---- Decoding ---- */

static int append_text(void *user, const char *text, size_t length) {
    rt_buffer_append(user, text, length);
    return 0;
}

/* What Hugging Face's decoders make of ids (test/golden/make_decode.py), also from packed settings. */
static void check_decoded(const rt_tokenizer *tokenizer, const json_t *asked) {
    const json_t *list = json_object_get(asked, "ids"), *id;
    const char *wanted = json_string_value(json_object_get(asked, "text"));
    bool skip = json_is_true(json_object_get(asked, "skip_special"));
    int32_t ids[64];
    size_t i;
    rt_buffer text = {0};
    retort_error err;
    json_array_foreach(list, i, id) ids[i] = (int32_t)json_integer_value(id);
    if (rt_decode(tokenizer, ids, json_array_size(list), skip, append_text, &text, &err) != RETORT_OK)
        fail_msg("%s", err.text);
    if (text.length != strlen(wanted) || (text.length > 0 && memcmp(text.data, wanted, text.length) != 0))
        fail_msg("'%.*s' in place of '%s'", (int)text.length, text.data, wanted);
    rt_buffer_free(&text);
}

static void check_decoding(const char *file_name) {
    char path[4096];
    json_t *root, *asked;
    size_t i;
    golden_path(path, sizeof path, file_name);
    assert_int_equal(rt_json_load(&root, path, NULL), RETORT_OK);
    json_t *settings = json_object_get(root, "tokenizer");
    json_array_foreach(json_object_get(root, "cases"), i, asked) {
        json_object_set(settings, "decoder", json_object_get(asked, "decoder"));
        rt_tokenizer *tokenizer = tokenizer_of(settings), *packed = NULL;
        rt_packed_tokenizer form;
        check_decoded(tokenizer, asked);
        assert_int_equal(rt_tokenizer_pack(tokenizer, &form, NULL), RETORT_OK);
        assert_int_equal(rt_tokenizer_unpack(&packed, "packed", &form, NULL), RETORT_OK);
        check_decoded(packed, asked);
        rt_tokenizer_free(packed);
        rt_packed_tokenizer_free(&form);
        rt_tokenizer_free(tokenizer);
    }
    json_decref(root);
}

static void test_decoding(void **state) {
    (void)state;
    check_decoding("decode_cases.json");
    check_decoding("bpe_decode.json");
}

static void test_unknown_ids_are_not_decoded(void **state) {
    (void)state;
    json_t *models = load_models();
    rt_tokenizer *tokenizer = tokenizer_of(json_object_get(models, "uncased"));
    rt_buffer text = {0};
    retort_error err;
    for (int i = 0; i < 3; i++) {
        const int32_t ids[] = {5, (int32_t[]){-1, INT32_MAX, rt_tokenizer_describe(tokenizer).pieces}[i]};
        assert_int_equal(rt_decode(tokenizer, ids, 2, true, append_text, &text, &err), RETORT_ARGUMENT);
        assert_non_null(strstr(err.text, "id 1 is"));
    }
    rt_buffer_free(&text);
    rt_tokenizer_free(tokenizer);
    json_decref(models);
}

static void test_golden_cases(void **state) {
    (void)state;
    json_t *models = load_models(), *model;
    const char *name;
    json_object_foreach(models, name, model) {
        rt_tokenizer *tokenizer = tokenizer_of(model);
        run_cases(tokenizer, name);
        assert_true(tokenizer->split != rt_split_by_rows);
        tokenizer->split = rt_split_by_rows; /* as a pre-tokenizer and a model that do not know each other */
        run_cases(tokenizer, name);
        tokenizer->segmenter.local = false; /* texts as a whole */
        run_cases(tokenizer, name);
        rt_tokenizer_free(tokenizer);
    }
    json_decref(models);
}

/* BPE, through the rows and as packed, too. */
static void test_bpe_cases(void **state) {
    (void)state;
    json_t *models = load_bpe_models(), *model;
    const char *name;
    json_object_foreach(models, name, model) {
        rt_tokenizer *tokenizer = tokenizer_of(model), *copy = NULL;
        rt_packed_tokenizer packed;
        run_cases_of(tokenizer, "bpe_cases.jsonl", name);
        assert_int_equal(rt_tokenizer_pack(tokenizer, &packed, NULL), RETORT_OK);
        assert_int_equal(rt_tokenizer_unpack(&copy, "packed", &packed, NULL), RETORT_OK);
        copy->split = rt_split_by_rows;
        run_cases_of(copy, "bpe_cases.jsonl", name);
        rt_tokenizer_free(copy);
        rt_packed_tokenizer_free(&packed);
        rt_tokenizer_free(tokenizer);
    }
    json_decref(models);
}

static void test_packed_is_the_same(void **state) {
    (void)state;
    json_t *models = load_models(), *model;
    const char *name;
    json_object_foreach(models, name, model) {
        rt_tokenizer *tokenizer = tokenizer_of(model), *copy = NULL;
        rt_packed_tokenizer packed;
        assert_int_equal(rt_tokenizer_pack(tokenizer, &packed, NULL), RETORT_OK);
        assert_int_equal(rt_tokenizer_unpack(&copy, "packed", &packed, NULL), RETORT_OK);
        rt_tokenizer_info first = rt_tokenizer_describe(tokenizer), second = rt_tokenizer_describe(copy);
        assert_int_equal(first.pieces, second.pieces);
        assert_int_equal(first.mask, second.mask);
        run_cases(copy, name);
        rt_tokenizer_free(copy);
        rt_packed_tokenizer_free(&packed);
        rt_tokenizer_free(tokenizer);
    }
    json_decref(models);
}

/* ---- Unigram, Metaspace and the normalizers (test/golden/make_unigram.py) ---- */

/* A tokenizer and its packed form, which the copy maps. */
typedef struct packed_pair {
    rt_tokenizer *made, *copy;
    rt_packed_tokenizer packed;
} packed_pair;

static packed_pair pack_pair(rt_tokenizer *made) {
    packed_pair pair = {.made = made};
    assert_int_equal(rt_tokenizer_pack(made, &pair.packed, NULL), RETORT_OK);
    assert_int_equal(rt_tokenizer_unpack(&pair.copy, "packed", &pair.packed, NULL), RETORT_OK);
    return pair;
}

static void free_pair(packed_pair *pair) {
    rt_tokenizer_free(pair->copy);
    rt_packed_tokenizer_free(&pair->packed);
    rt_tokenizer_free(pair->made);
}

static json_t *load_unigram_models(void) {
    char path[4096];
    json_t *root, *model;
    const char *name;
    golden_path(path, sizeof path, "unigram_models.json");
    assert_int_equal(rt_json_load(&root, path, NULL), RETORT_OK);
    json_t *models = json_incref(json_object_get(root, "models"));
    json_object_foreach(models, name, model) {
        json_object_set(json_object_get(model, "model"), "vocab", json_object_get(root, "vocab"));
    }
    json_decref(root);
    return models;
}

static void check_unigram_decoding(const rt_tokenizer *tokenizer, const char *model) {
    char path[4096], *line = NULL;
    size_t capacity = 0;
    golden_path(path, sizeof path, "unigram_cases.jsonl");
    FILE *file = fopen(path, "r");
    while (getline(&line, &capacity, file) > 0) {
        json_t *asked = json_loads(line, JSON_ALLOW_NUL, NULL), *wanted = json_object_get(asked, "decoded");
        if (wanted != NULL && strcmp(json_string_value(json_object_get(asked, "model")), model) == 0) {
            json_t *first = json_array_get(json_object_get(asked, "expect"), 0);
            json_t *ids = json_object_get(first, "ids");
            if (json_array_size(ids) < 64) {
                json_t *one = json_pack("{s:O,s:O,s:b}", "ids", ids, "text", wanted, "skip_special", 1);
                check_decoded(tokenizer, one);
                json_decref(one);
            }
        }
        json_decref(asked);
    }
    free(line);
    fclose(file);
}

/* As files had it that were written before pieces were marked as whole: another name, and no marks. */
static rt_tokenizer *without_marks(const rt_packed_tokenizer *packed, uint8_t **table) {
    enum { BLOCK_HEAD = 64, TABLE_HEAD = 40 };
    rt_packed_tokenizer old = *packed;
    rt_tokenizer *tokenizer = NULL;
    uint64_t units, marks = 0;
    *table = aligned_alloc(64, (packed->table_size + 63) / 64 * 64);
    assert_non_null(*table);
    memcpy(*table, packed->table, packed->table_size);
    uint8_t *head = *table + BLOCK_HEAD;
    assert_memory_equal(head, "unigram2", 8);
    memcpy(head, "unigram1", 8);
    memcpy(&units, head + 8, sizeof units);
    uint64_t *unit = (uint64_t *)(void *)(head + TABLE_HEAD);
    for (uint64_t i = 0; i < units; i++) {
        bool marked = (uint32_t)(unit[i] >> 32) != RT_TRIE_ID && (unit[i] >> 32 & RT_TRIE_WHOLE);
        marks += marked;
        if (marked) unit[i] &= ~((uint64_t)RT_TRIE_WHOLE << 32);
    }
    assert_true(marks > 0);
    old.table = *table;
    assert_int_equal(rt_tokenizer_unpack(&tokenizer, "old", &old, NULL), RETORT_OK);
    return tokenizer;
}

static void test_unigram_cases(void **state) {
    (void)state;
    json_t *models = load_unigram_models(), *model;
    const char *name;
    json_object_foreach(models, name, model) {
        uint8_t *table;
        packed_pair pair = pack_pair(tokenizer_of(model));
        rt_tokenizer *old = without_marks(&pair.packed, &table);
        run_cases_of(pair.made, "unigram_cases.jsonl", name);
        run_cases_of(pair.copy, "unigram_cases.jsonl", name);
        run_cases_of(old, "unigram_cases.jsonl", name);
        check_unigram_decoding(pair.copy, name);
        pair.copy->split = rt_split_by_rows;
        run_cases_of(pair.copy, "unigram_cases.jsonl", name);
        rt_tokenizer_free(old);
        free(table);
        free_pair(&pair);
    }
    json_decref(models);
}

/* A word that is a piece, but of which its parts have the larger sum, or, of "cd", the same. */
static void test_pieces_that_lose(void **state) {
    (void)state;
    json_t *vocab =
        json_pack("[[s,f],[s,f],[s,f],[s,f],[s,f],[s,f],[s,f],[s,f]]", "<unk>", 0.0, "\u2581", -1.0, "a",
                  -1.0, "b", -1.0, "\u2581ab", -3.5, "\u2581cd", -3.0, "c", -1.0, "d", -1.0);
    json_t *model = json_pack("{s:{s:s},s:{s:s,s:i,s:o}}", "pre_tokenizer", "type", "Metaspace", "model",
                              "type", "Unigram", "unk_id", 0, "vocab", vocab);
    packed_pair pair = pack_pair(tokenizer_of(model));
    const int32_t expected[] = {1, 2, 3, 5, 1, 2, 5};
    rt_encoding got = {0};
    retort_text text = {.text = "ab cd a cd", .length = 10};
    assert_int_equal(rt_encode(pair.copy, &text, &(rt_encode_options){0}, &got, NULL), RETORT_OK);
    assert_int_equal(got.count, sizeof expected / sizeof *expected);
    assert_memory_equal(got.ids, expected, sizeof expected);
    rt_encoding_free(&got);
    free_pair(&pair);
    json_decref(model);
}

/* A sentencepiece .model of a class, packed and not. */
static packed_pair pair_of_model(const void *data, size_t size, const char *class) {
    rt_tokenizer *tokenizer = NULL;
    retort_error err;
    char config[128];
    int length = snprintf(config, sizeof config, "{\"tokenizer_class\": \"%s\"}", class);
    if (rt_tokenizer_from_sentencepiece(&tokenizer, "test", data, size, config, (size_t)length, &err) !=
        RETORT_OK)
        fail_msg("%s: %s", class, err.text);
    return pack_pair(tokenizer);
}

/* The files of each class, and what the tokenizer.json of transformers 4 makes of the same texts. */
static void test_sentencepiece_files(void **state) {
    (void)state;
    char path[4096];
    json_t *root, *file;
    const char *name;
    golden_path(path, sizeof path, "unigram_models.json");
    assert_int_equal(rt_json_load(&root, path, NULL), RETORT_OK);
    json_object_foreach(json_object_get(root, "files"), name, file) {
        const json_t *text = json_object_get(file, "model");
        rt_buffer data = {0}, again = {0};
        assert_true(rt_base64_decode(&data, json_string_value(text), json_string_length(text)));
        rt_base64_encode(&again, data.data, data.length);
        assert_string_equal(again.data, json_string_value(text));
        packed_pair pair =
            pair_of_model(data.data, data.length, json_string_value(json_object_get(file, "class")));
        run_cases_of(pair.made, "unigram_cases.jsonl", name);
        run_cases_of(pair.copy, "unigram_cases.jsonl", name);
        free_pair(&pair);
        rt_buffer_free(&data);
        rt_buffer_free(&again);
    }
    json_decref(root);
}

static void check_model_refused(const char *model, size_t size, const char *config, retort_status status,
                                const char *why) {
    rt_tokenizer *tokenizer = NULL;
    retort_error err;
    assert_int_equal(
        rt_tokenizer_from_sentencepiece(&tokenizer, "test", model, size, config, strlen(config), &err),
        status);
    if (strstr(err.text, why) == NULL) fail_msg("'%s' does not say '%s'", err.text, why);
}

static void test_what_sentencepiece_refuses(void **state) {
    (void)state;
    static const char xlm[] = "{\"tokenizer_class\": \"XLMRobertaTokenizer\"}",
                      albert[] = "{\"model_type\": \"albert\"}";
    check_model_refused("", 0, xlm, RETORT_FORMAT, "not a sentencepiece model");
    check_model_refused("\x0a\x05\x0a", 3, xlm, RETORT_FORMAT, "not a sentencepiece model");
    check_model_refused("\x0a\x03\x0a\x01"
                        "a",
                        5, "{\"tokenizer_class\": \"KoBertTokenizer\"}", RETORT_UNSUPPORTED,
                        "KoBertTokenizer");
    check_model_refused("\x0a\x03\x0a\x01\xFF", 5, albert, RETORT_FORMAT, "piece 0 is not valid UTF-8");
    check_model_refused("\x0a\x08\x0a\x01"
                        "a\x15\x00\x00\xC0\x7F",
                        10, albert, RETORT_FORMAT, "the score of piece 0 is not a number");
    check_model_refused("\x0a\x03\x0a\x01"
                        "a\x12\x02\x18\x02",
                        9, albert, RETORT_UNSUPPORTED, "a model_type other than Unigram");
}

/* What is wrong with a tokenizer.json, by what the error says. */
static void check_refused(json_t *settings, retort_status status, const char *why) {
    rt_tokenizer *tokenizer = NULL;
    retort_error err;
    char *text = json_dumps(settings, JSON_COMPACT);
    assert_int_equal(rt_tokenizer_from_json(&tokenizer, "test", text, strlen(text), NULL, 0, &err), status);
    if (strstr(err.text, why) == NULL) fail_msg("'%s' does not say '%s'", err.text, why);
    free(text);
    json_decref(settings);
}

static json_t *with_normalizer(json_t *normalizer) {
    return json_pack("{s:o,s:{s:s,s:s,s:s},s:{s:s,s:i,s:[[s,f]]}}", "normalizer", normalizer, "pre_tokenizer",
                     "type", "Metaspace", "replacement", "_", "prepend_scheme", "always", "model", "type",
                     "Unigram", "unk_id", 0, "vocab", "<unk>", 0.0);
}

static json_t *with_model(json_t *model) {
    json_t *settings = with_normalizer(json_null());
    json_object_set_new(settings, "model", model);
    return settings;
}

static void test_what_unigram_refuses(void **state) {
    (void)state;
    check_refused(
        with_model(json_pack("{s:s,s:n,s:[[s,f]]}", "type", "Unigram", "unk_id", "vocab", "a", 0.0)),
        RETORT_UNSUPPORTED, "unk_id");
    check_refused(
        with_model(json_pack("{s:s,s:i,s:[[s,f]]}", "type", "Unigram", "unk_id", 1, "vocab", "a", 0.0)),
        RETORT_FORMAT, "unk_id must be the id of one of 1 pieces");
    check_refused(
        with_model(json_pack("{s:s,s:i,s:[[s,f]]}", "type", "Unigram", "unk_id", 0, "vocab", "a", 1e300)),
        RETORT_FORMAT, "a score that is not a number, or beyond 1e+30");
    check_refused(
        with_model(json_pack("{s:s,s:i,s:[[s,s]]}", "type", "Unigram", "unk_id", 0, "vocab", "a", "nan")),
        RETORT_FORMAT, "item 0 is not a piece and its score");
    check_refused(with_model(json_pack("{s:s,s:i,s:[[s,f]],s:f}", "type", "Unigram", "unk_id", 0, "vocab",
                                       "a", 0.0, "alpha", 0.1)),
                  RETORT_UNSUPPORTED, "alpha");
    check_refused(with_normalizer(json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", "Regex",
                                            "[a-z]+", "content", "")),
                  RETORT_UNSUPPORTED, "[a-z]+");
    check_refused(with_normalizer(json_pack("{s:s}", "type", "ByteLevelOrSo")), RETORT_UNSUPPORTED,
                  "ByteLevelOrSo");
    check_refused(
        with_normalizer(json_pack("{s:s,s:[{s:s,s:s},{s:s,s:s}]}", "type", "Sequence", "normalizers", "type",
                                  "Precompiled", "precompiled_charsmap", "", "type", "Nmt", "x", "")),
        RETORT_FORMAT, "character map");
}

/* What a tokenizer with this part is refused for. */
static void check_part_refused(const char *key, const char *json, retort_status status, const char *why) {
    json_t *models = load_models(), *settings = json_deep_copy(json_object_get(models, "uncased"));
    json_object_set_new(settings, key, json_loads(json, 0, NULL));
    check_refused(settings, status, why);
    json_decref(models);
}

static void test_what_decoders_and_added_tokens_refuse(void **state) {
    static const struct {
        const char *key, *json;
        retort_status status;
        const char *why;
    } cases[] = {
        {"decoder", "{'type':'CTC'}", RETORT_UNSUPPORTED, "CTC"},
        {"decoder", "{'type':'Sequence'}", RETORT_FORMAT, "a Sequence must list decoders"},
        {"decoder", "{'type':'Sequence','decoders':[{'type':'ByteLevel'}]}", RETORT_UNSUPPORTED,
         "\"ByteLevel\" in a Sequence"},
        {"decoder", "{'type':'Sequence','decoders':[{'type':'Fuse'},{'type':'ByteFallback'}]}",
         RETORT_UNSUPPORTED, "ByteFallback is read before Fuse"},
        {"decoder", "{'type':'Replace','pattern':{'Regex':'a'},'content':''}", RETORT_UNSUPPORTED,
         "Replace is read of a String"},
        {"decoder", "{'type':'Replace','pattern':{'String':'a'},'content':'bb'}", RETORT_UNSUPPORTED,
         "no longer"},
        {"decoder", "{'type':'Strip','content':' ','start':-1,'stop':0}", RETORT_FORMAT, "Strip without"},
        {"decoder", "{'type':'Strip','content':' ','start':1}", RETORT_FORMAT, "Strip without"},
        {"added_tokens", "{'id':1}", RETORT_FORMAT, "added_tokens is not a list"},
        {"added_tokens", "[5]", RETORT_FORMAT, "whose content is no text"},
        {"added_tokens", "[{'content':5}]", RETORT_FORMAT, "whose content is no text"},
        {"added_tokens", "[{'content':'a','special':1}]", RETORT_FORMAT, "special"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[256];
        snprintf(json, sizeof json, "%s", cases[i].json);
        for (char *at = json; *at != '\0'; at++) {
            if (*at == '\'') *at = '"';
        }
        check_part_refused(cases[i].key, json, cases[i].status, cases[i].why);
    }
}

/* Maps that no sentencepiece has made: {units}, strings "\0". */
static void check_map_refused(const uint32_t *units, uint32_t count, const char *why) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t bytes[4 * 256 + 8] = {0};
    char text[2048];
    size_t size = 4 + 4 * count + 2, n = 0;
    memcpy(bytes, &(uint32_t){4 * count}, 4);
    memcpy(bytes + 4, units, 4 * count);
    bytes[4 + 4 * count] = 'x';
    for (; size % 3 != 0;) size++;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int k = 3; k >= 0; k--) text[n++] = digits[bits >> (6 * k) & 63];
    }
    text[n] = '\0';
    check_refused(
        with_normalizer(json_pack("{s:s,s:s}", "type", "Precompiled", "precompiled_charsmap", text)),
        RETORT_FORMAT, why);
}

static void test_hostile_character_maps(void **state) {
    (void)state;
    uint32_t units[256] = {0};
    units[0] = 1 << 10; /* children at 1 ^ byte */
    /* The children of 'a' are those of the root: one is 'a' again. */
    units[1 ^ 'a'] = 'a' | (uint32_t)((1 ^ 'a') ^ 1) << 10;
    check_map_refused(units, 256, "a loop in the trie");
    units[1 ^ 'a'] = 'a' | 4096u << 10;
    check_map_refused(units, 256, "a unit outside of the trie");
    units[1 ^ 'a'] = 'a' | 1u << 8 | 128u << 10;
    units[(1 ^ 'a') ^ 128] = 1u << 31 | 99;
    check_map_refused(units, 256, "a string that is too long, or outside of the map");
}

/* Whatever is in the table of a file, nothing outside of it is read; and a score that is no number is seen. */
static void test_damaged_tables(void **state) {
    (void)state;
    json_t *models = load_unigram_models();
    rt_tokenizer *tokenizer = tokenizer_of(json_object_get(models, "xlm")), *copy;
    rt_packed_tokenizer packed;
    retort_text text = {.text = "the cat \xEF\xAC\x81 \xED\x95\x9C"
                                "abababab",
                        .length = 22};
    assert_int_equal(rt_tokenizer_pack(tokenizer, &packed, NULL), RETORT_OK);
    uint32_t random = 1;
    for (int round = 0; round < 400; round++) {
        /* exactly as long as it is, for the sanitizers */
        uint8_t *damaged = malloc(packed.table_size);
        rt_encoding encoding = {0};
        rt_packed_tokenizer changed = packed;
        memcpy(damaged, packed.table, packed.table_size);
        for (int i = 0; i < (round % 7) * 100 + 1; i++) {
            random = random * 1664525u + 1013904223u;
            damaged[random % packed.table_size] = (uint8_t)(random >> 24);
        }
        changed.table = damaged;
        copy = NULL;
        if (rt_tokenizer_unpack(&copy, "damaged", &changed, NULL) == RETORT_OK) {
            assert_int_equal(rt_encode(copy, &text, &(rt_encode_options){0}, &encoding, NULL), RETORT_OK);
            for (int32_t id = 0; id < 100; id++) rt_tokenizer_piece(copy, id);
        }
        rt_encoding_free(&encoding);
        rt_tokenizer_free(copy);
        free(damaged);
    }
    rt_packed_tokenizer_free(&packed);
    rt_tokenizer_free(tokenizer);
    json_decref(models);
}

/* Every text of a file has its tokens. Frees the pair. */
static void check_texts(packed_pair pair, const char *path, size_t texts) {
    char *line = NULL;
    size_t capacity = 0, done = 0;
    FILE *file = fopen(path, "r");
    for (; getline(&line, &capacity, file) > 0; done++) {
        json_t *given = json_loads(line, JSON_ALLOW_NUL, NULL), *flat = json_array(), *offsets;
        size_t i;
        json_array_foreach(json_object_get(given, "offsets"), i, offsets) json_array_extend(flat, offsets);
        json_t *asked = json_pack("{s:O,s:[{s:O,s:o}]}", "text", json_object_get(given, "text"), "expect",
                                  "ids", json_object_get(given, "ids"), "offsets", flat);
        if (!case_agrees(pair.copy, asked, NULL) || !ids_agree(pair.made, asked, NULL)) fail_msg("%s", line);
        json_decref(asked);
        json_decref(given);
    }
    assert_int_equal(done, texts);
    fclose(file);
    free(line);
    free_pair(&pair);
}

/* Every golden text of a file in $RETORT_SHARED; false: it is not there. */
static bool check_shared_unigram(const char *settings, const char *golden, size_t texts) {
    char path[4096], lines[4096];
    json_t *root;
    if (!shared_path(path, sizeof path, settings) || !shared_path(lines, sizeof lines, golden)) return false;
    assert_int_equal(rt_json_load(&root, path, NULL), RETORT_OK);
    check_texts(pack_pair(tokenizer_of(root)), lines, texts);
    json_decref(root);
    return true;
}

static void test_sentencepiece_of_real_texts(void **state) {
    (void)state;
    char path[4096], lines[4096];
    rt_map map;
    if (!shared_path(path, sizeof path, "data/tokenizer/unigram_ko/unigram_ko.model") ||
        !shared_path(lines, sizeof lines, "data/tokenizer/unigram_ko/golden.jsonl"))
        skip();
    assert_int_equal(rt_map_open(&map, path, NULL), RETORT_OK);
    check_texts(pair_of_model(map.data, map.size, "XLMRobertaTokenizer"), lines, 380);
    rt_map_close(&map);
}

static void test_unigram_of_real_texts(void **state) {
    (void)state;
    bool korean = check_shared_unigram("data/tokenizer/unigram_ko/tokenizer.json",
                                       "data/tokenizer/unigram_ko/golden.jsonl", 380);
    bool many = check_shared_unigram("models/me5/tokenizer.json", "data/tokenizer/golden_unigram.jsonl", 840);
    if (!korean && !many) skip();
}

/* ---- Every code point --------------------------------------------------------------------------------- */

static unsigned flags_of(const char *classes) {
    static const char names[] = "RSWPCM";
    unsigned flags = 0;
    for (; *classes != '\0' && *classes != '\n'; classes++) {
        const char *at = strchr(names, *classes);
        assert_non_null(at);
        flags |= 1u << (at - names);
    }
    return flags;
}

static void test_classes_of_all_code_points(void **state) {
    (void)state;
    char path[4096], *line = NULL;
    size_t capacity = 0;
    if (!shared_path(path, sizeof path, "data/tokenizer/hf_bert_classes.tsv")) skip();
    unsigned *expected = calloc(0x110000, sizeof *expected);
    FILE *file = fopen(path, "r");
    while (getline(&line, &capacity, file) > 0) {
        unsigned first, last;
        char classes[16];
        if (line[0] == '#' || sscanf(line, "%x\t%x\t%15s", &first, &last, classes) != 3) continue;
        for (unsigned point = first; point <= last; point++) expected[point] = flags_of(classes);
    }
    fclose(file);
    free(line);
    for (uint32_t point = 0; point < 0x110000; point++) {
        unsigned flags = rt_unicode(point)->flags & (RT_WORD - 1u);
        if (point >= 0xD800 && point < 0xE000) continue;
        if (flags != expected[point])
            fail_msg("U+%04X: flags %d, official %d", point, flags, expected[point]);
    }
    free(expected);
}

/* BERT's normalizer with these switched on, and nothing else. */
static rt_normalizer normalizer_of(rt_arena *arena, bool strip, bool lower) {
    rt_normalizer normalizer;
    rt_component_reader in = {.arena = arena, .name = "test"};
    json_t *part = json_pack("{s:s,s:b,s:b,s:b,s:b}", "type", "BertNormalizer", "clean_text", 0,
                             "handle_chinese_chars", 0, "strip_accents", strip, "lowercase", lower);
    assert_int_equal(rt_normalizer_read(&in, part, &normalizer), RETORT_OK);
    json_decref(part);
    return normalizer;
}

/* Normalises one code point; the result as hex code points, "-" when it is what it was. */
static void normalize_point(const rt_normalizer *normalizer, uint32_t point, char *out) {
    uint8_t bytes[4];
    rt_normalized text = {0};
    uint32_t next;
    assert_true(rt_normalize(normalizer, bytes, rt_utf8_put(bytes, point), 0, &text, &next));
    *out = '\0';
    for (size_t i = 0; i < text.count; i++) {
        out += sprintf(out, i > 0 ? " %04X" : "%04X", text.points[i].point);
    }
    if (text.count == 1 && text.points[0].point == point)
        strcpy(out - 4 - (point > 0xFFFF) - (point > 0xFFFFF), "-");
    rt_normalized_free(&text);
}

static void test_maps_of_all_code_points(void **state) {
    (void)state;
    char path[4096], *line = NULL;
    size_t capacity = 0;
    if (!shared_path(path, sizeof path, "data/tokenizer/hf_bert_maps.tsv")) skip();
    char(*expected)[2][40] = calloc(0x110000, sizeof *expected);
    FILE *file = fopen(path, "r");
    while (getline(&line, &capacity, file) > 0) {
        unsigned point;
        char strip[40], lower[40];
        if (line[0] == '#' || sscanf(line, "%x\t%39[^\t]\t%39[^\n]", &point, strip, lower) != 3) continue;
        strcpy(expected[point][0], strip);
        strcpy(expected[point][1], lower);
    }
    fclose(file);
    free(line);
    rt_arena arena = {0};
    const rt_normalizer normalizers[2] = {normalizer_of(&arena, true, false),
                                          normalizer_of(&arena, false, true)};
    for (uint32_t point = 0; point < 0x110000; point++) {
        bool hangul = point >= 0xAC00 && point <= 0xD7A3, surrogate = point >= 0xD800 && point < 0xE000;
        for (int i = 0; i < 2; i++) {
            char made[64];
            if (surrogate || (i == 0 && (hangul || (rt_unicode(point)->flags & RT_MARK)))) continue;
            normalize_point(&normalizers[i], point, made);
            const char *official = expected[point][i][0] != '\0' ? expected[point][i] : "-";
            if (strcmp(made, official) != 0) fail_msg("U+%04X: %s, official %s", point, made, official);
        }
    }
    rt_arena_free(&arena);
    free(expected);
}

/* The tokenizer of folder/vocab.txt. */
static rt_tokenizer *vocab_of(const char *folder) {
    char path[4096];
    rt_map map;
    rt_tokenizer *tokenizer = NULL;
    assert_true(rt_path_join(path, sizeof path, folder, "vocab.txt"));
    assert_int_equal(rt_map_open(&map, path, NULL), RETORT_OK);
    assert_int_equal(rt_tokenizer_from_vocab(&tokenizer, path, map.data, map.size, NULL, 0, NULL), RETORT_OK);
    rt_map_close(&map);
    return tokenizer;
}

static void test_real_texts(void **state) {
    (void)state;
    char path[4096], folder[4096], *line = NULL;
    size_t capacity = 0, texts = 0;
    rt_tokenizer *tokenizer = NULL;
    if (!shared_path(folder, sizeof folder, "models/sst2/tokenizer.json")) skip();
    if (!shared_path(path, sizeof path, "data/tokenizer/golden_uncased.jsonl")) skip();
    *strrchr(folder, '/') = '\0';
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, NULL), RETORT_OK);
    assert_int_equal(rt_tokenizer_describe(tokenizer).pieces, 30522);
    assert_int_equal(rt_tokenizer_describe(tokenizer).max_length, 512);
    rt_tokenizer *from_vocab = vocab_of(folder);
    rt_word_cache *cache = rt_word_cache_new(tokenizer, 0);
    FILE *file = fopen(path, "r");
    for (; getline(&line, &capacity, file) > 0; texts++) {
        json_t *given = json_loads(line, JSON_ALLOW_NUL, NULL), *flat = json_array(), *pair;
        size_t i;
        json_array_foreach(json_object_get(given, "offsets"), i, pair) json_array_extend(flat, pair);
        json_t *asked = json_pack("{s:O,s:[{s:O,s:o}]}", "text", json_object_get(given, "text"), "expect",
                                  "ids", json_object_get(given, "ids"), "offsets", flat);
        if (!all_paths_agree(tokenizer, asked, cache)) fail_msg("%s", line);
        if (!ids_agree(from_vocab, asked, NULL)) fail_msg("vocab.txt: %s", line);
        json_decref(asked);
        json_decref(given);
    }
    assert_int_equal(texts, 1856);
    fclose(file);
    free(line);
    rt_word_cache_free(cache);
    rt_tokenizer_free(from_vocab);
    rt_tokenizer_free(tokenizer);
}

/* A golden line's offsets are pairs. */
static json_t *flat_case(const json_t *given) {
    json_t *flat = json_array(), *pair;
    size_t i;
    if (json_object_get(given, "error") != NULL) {
        json_decref(flat);
        flat = json_null();
    }
    json_array_foreach(json_object_get(given, "offsets"), i, pair) json_array_extend(flat, pair);
    json_t *expect = json_is_null(flat)
                         ? json_null()
                         : json_pack("[{s:O,s:o,s:O*}]", "ids", json_object_get(given, "ids"), "offsets",
                                     flat, "types", json_object_get(given, "types"));
    return json_pack("{s:O,s:O*,s:O*,s:O*,s:o}", "text", json_object_get(given, "text"), "pair",
                     json_object_get(given, "pair"), "max_length", json_object_get(given, "max_length"),
                     "truncation", json_object_get(given, "strategy"), "expect", expect);
}

/* Byte-level BPE of 8,000 pieces on 840 texts and 60 pairs of twelve languages. */
static void test_real_byte_level_texts(void **state) {
    (void)state;
    static const char *const files[] = {"golden_bytebpe.jsonl", "bytebpe/golden_pairs.jsonl"};
    char path[4096], name[256], *line = NULL;
    size_t capacity = 0, texts = 0;
    rt_map map;
    rt_tokenizer *tokenizer = NULL;
    if (!shared_path(path, sizeof path, "data/tokenizer/bytebpe/tokenizer.json")) skip();
    assert_int_equal(rt_map_open(&map, path, NULL), RETORT_OK);
    assert_int_equal(rt_tokenizer_from_json(&tokenizer, path, map.data, map.size, NULL, 0, NULL), RETORT_OK);
    rt_map_close(&map);
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "data/tokenizer/%s", files[i]);
        if (!shared_path(path, sizeof path, name)) skip();
        FILE *file = fopen(path, "r");
        while (getline(&line, &capacity, file) > 0) {
            json_t *given = json_loads(line, JSON_ALLOW_NUL, NULL), *asked = flat_case(given);
            const char *of = json_string_value(json_object_get(given, "tokenizer"));
            if (of == NULL || strcmp(of, "bytebpe") == 0) {
                if (!all_paths_agree(tokenizer, asked, NULL)) fail_msg("%s", line);
                texts++;
            }
            json_decref(asked);
            json_decref(given);
        }
        fclose(file);
    }
    assert_int_equal(texts, 900);
    free(line);
    rt_tokenizer_free(tokenizer);
}

/* ---- Patterns ------------------------------------------------------------------------------------------- */

/* Where the pieces of a text end, of an expression that matches everywhere. */
static bool ends_are(const char *expression, const json_t *text, const json_t *ends) {
    rt_arena arena = {0};
    const rt_normalizer normalizer = normalizer_of(&arena, false, false);
    rt_match_fn match = rt_regex_find(expression);
    rt_normalized points = {0};
    uint32_t next;
    size_t at = 0, count = 0;
    assert_non_null(match);
    assert_true(rt_normalize(&normalizer, (const uint8_t *)json_string_value(text), json_string_length(text),
                             0, &points, &next));
    bool same = true;
    for (; at < points.count && same; count++) {
        at = match(points.points, at, points.count);
        same = (json_int_t)at == json_integer_value(json_array_get(ends, count));
    }
    rt_normalized_free(&points);
    rt_arena_free(&arena);
    return same && count == json_array_size(ends);
}

static void test_expressions(void **state) {
    (void)state;
    static const char gpt2[] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    static const char llama[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}"
                                "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    char path[4096], *line = NULL;
    size_t capacity = 0, texts = 0;
    if (!shared_path(path, sizeof path, "data/tokenizer/bytebpe/golden_splits.jsonl")) skip();
    FILE *file = fopen(path, "r");
    for (; getline(&line, &capacity, file) > 0; texts++) {
        json_t *given = json_loads(line, JSON_ALLOW_NUL, NULL), *text = json_object_get(given, "text");
        if (!ends_are(gpt2, text, json_object_get(given, "gpt2"))) fail_msg("GPT-2: %s", line);
        if (!ends_are(llama, text, json_object_get(given, "llama3"))) fail_msg("Llama 3: %s", line);
        json_decref(given);
    }
    assert_true(texts > 1000);
    fclose(file);
    free(line);
}

/* Letters, numbers and white space of Oniguruma, on all code points. */
static void test_classes_of_expressions(void **state) {
    (void)state;
    enum { CLASSES = RT_LETTER | RT_NUMBER | RT_SPACE };
    char path[4096], *line = NULL;
    size_t capacity = 0;
    if (!shared_path(path, sizeof path, "data/tokenizer/bytebpe/regex_classes.tsv")) skip();
    unsigned *expected = calloc(0x110000, sizeof *expected);
    FILE *file = fopen(path, "r");
    while (getline(&line, &capacity, file) > 0) {
        unsigned first, last;
        char class;
        if (sscanf(line, "%x\t%x\t%c", &first, &last, &class) != 3) continue;
        for (unsigned point = first; point <= last; point++)
            expected[point] = class == 'L' ? RT_LETTER : class == 'N' ? RT_NUMBER : RT_SPACE;
    }
    fclose(file);
    free(line);
    for (uint32_t point = 0; point < 0x110000; point++) {
        if ((rt_unicode(point)->flags & CLASSES) != expected[point]) fail_msg("U+%04X", point);
    }
    free(expected);
}

/* ---- Texts -------------------------------------------------------------------------------------------- */

static rt_tokenizer *four_pieces(void) {
    static const char vocab[] = "[UNK]\n[CLS]\n[SEP]\na\n";
    rt_tokenizer *tokenizer = NULL;
    rt_tokenizer_from_vocab(&tokenizer, "four", vocab, sizeof vocab - 1, NULL, 0, NULL);
    assert_non_null(tokenizer);
    return tokenizer;
}

static void test_malformed_utf8(void **state) {
    (void)state;
    /* Code points as Python's bytes.decode("utf-8", "replace") gives them. */
    static const struct {
        const char *bytes;
        size_t count;
        uint32_t points[6];
    } cases[] = {
        {"a\x80z", 3, {'a', 0xFFFD, 'z'}},
        {"\xC3", 1, {0xFFFD}},
        {"\xC0\x80", 2, {0xFFFD, 0xFFFD}},
        {"\xE4\xB8", 1, {0xFFFD}},
        {"\xE4\xB8z", 2, {0xFFFD, 'z'}},
        {"\xED\xA0\x80", 3, {0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xF0\x9F\x98\x80", 1, {0x1F600}},
        {"\xF0\x9F\x98\xE4\xB8\xAD", 2, {0xFFFD, 0x4E2D}},
        {"\xF4\x90\x80\x80", 4, {0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xF5", 1, {0xFFFD}},
        {"\xE0\x9F\xBF", 3, {0xFFFD, 0xFFFD, 0xFFFD}},
        {"\xEF\xBF\xBD", 1, {0xFFFD}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint8_t *at = (const uint8_t *)cases[i].bytes, *end = at + strlen(cases[i].bytes);
        assert_int_equal(rt_utf8_count(at, end), cases[i].count);
        for (size_t k = 0; k < cases[i].count; k++) {
            uint32_t point;
            at += rt_utf8_take(at, end, &point);
            assert_int_equal(point, cases[i].points[k]);
        }
        assert_ptr_equal(at, end);
    }
}

/* Offsets count a malformed byte as a character, wherever it stands. */
static void test_offsets_beside_malformed_bytes(void **state) {
    (void)state;
    rt_tokenizer *tokenizer;
    rt_encoding encoding = {0};
    tokenizer = four_pieces();
    retort_text text = {.text = "\xFF\xC3"
                                "a\xE4 [SEP]\xF0"
                                "a",
                        .length = 12};
    rt_word_cache *cache = rt_word_cache_new(tokenizer, 1);
    for (int i = 0; i < 3; i++) {
        rt_encode_options options = {.cache = i > 0 ? cache : NULL};
        assert_int_equal(rt_encode(tokenizer, &text, &options, &encoding, NULL), RETORT_OK);
        assert_int_equal(encoding.count, 5);
        assert_memory_equal(encoding.ids, ((int32_t[]){1, 3, 2, 3, 2}), 5 * sizeof(int32_t));
        assert_memory_equal(encoding.offsets, ((uint32_t[]){0, 0, 2, 3, 5, 10, 11, 12, 0, 0}),
                            10 * sizeof(uint32_t));
    }
    rt_encoding_free(&encoding);
    rt_word_cache_free(cache);
    rt_tokenizer_free(tokenizer);
}

static void check_pair(const rt_tokenizer *tokenizer, const rt_encode_options *options, const char *first,
                       const char *second) {
    retort_text text = {first, strlen(first), second, strlen(second)};
    rt_encode_options without = *options;
    rt_encoding found = {0}, wanted = {0};
    without.cache = NULL;
    assert_int_equal(rt_encode(tokenizer, &text, options, &found, NULL), RETORT_OK);
    assert_int_equal(rt_encode(tokenizer, &text, &without, &wanted, NULL), RETORT_OK);
    assert_int_equal(found.count, wanted.count);
    assert_memory_equal(found.ids, wanted.ids, wanted.count * sizeof *wanted.ids);
    assert_memory_equal(found.offsets, wanted.offsets, 2 * wanted.count * sizeof *wanted.offsets);
    rt_encoding_free(&found);
    rt_encoding_free(&wanted);
}

/* The first text of pairs that follow each other is tokenised once: a mark on its tokens is seen again. */
static void test_one_question_of_many_texts(void **state) {
    (void)state;
    enum { MARK = 77 };
    rt_tokenizer *tokenizer = four_pieces();
    rt_word_cache *cache = rt_word_cache_new(tokenizer, 8);
    rt_encode_options options = {.cache = cache}, as_text = {.cache = cache, .special_as_text = true};
    rt_encoding encoding = {0};
    retort_text pair = {"a a [SEP]", 9, "a", 1}, single = {"a a [SEP]", 9, NULL, 0};
    for (int i = 0; i < 2; i++) {
        check_pair(tokenizer, &options, "a a [SEP]", "a");
        check_pair(tokenizer, &options, "a a [SEP]", "a a a");
        check_pair(tokenizer, &as_text, "a a [SEP]", "a");
        check_pair(tokenizer, &options, "a", "a a");
        check_pair(tokenizer, &options, "", "a");
        check_pair(tokenizer, &options, "", "a a");
    }
    check_pair(tokenizer, &options, "a a [SEP]", "a");
    cache->scratch.first.data[0].id = MARK;
    assert_int_equal(rt_encode(tokenizer, &pair, &options, &encoding, NULL), RETORT_OK);
    assert_int_equal(encoding.ids[1], MARK);
    assert_int_equal(rt_encode(tokenizer, &single, &options, &encoding, NULL), RETORT_OK);
    assert_int_equal(encoding.ids[1], 3);
    check_pair(tokenizer, &options, "a a [SEP]", "a");
    rt_encoding_free(&encoding);
    rt_word_cache_free(cache);
    rt_tokenizer_free(tokenizer);
}

static void test_limits(void **state) {
    (void)state;
    rt_tokenizer *tokenizer, *other;
    int32_t ids[4] = {7, 7, 7, 7};
    size_t count = 1, windows = 0;
    rt_encoding *encodings = NULL;
    retort_text text = {.text = "a a a a", .length = 7};
    tokenizer = four_pieces();
    other = four_pieces();
    assert_int_equal(rt_encode_ids(tokenizer, &text, &(rt_encode_options){0}, ids, 4, &count, NULL),
                     RETORT_LIMIT);
    assert_int_equal(count, 1);
    assert_int_equal(ids[1], 7);
    rt_encode_options options = {.max_length = 3};
    assert_int_equal(rt_encode_ids(tokenizer, &text, &options, ids, 4, &count, NULL), RETORT_OK);
    assert_memory_equal(ids, ((int32_t[]){7, 1, 3, 2}), sizeof ids);
    assert_int_equal(rt_encode_windows(tokenizer, &text, &options, 3, &encodings, &windows, NULL),
                     RETORT_LIMIT);
    assert_int_equal(rt_encode_windows(tokenizer, &text, &options, 4, &encodings, &windows, NULL), RETORT_OK);
    assert_int_equal(windows, 4);
    for (size_t i = 0; i < windows; i++) rt_encoding_free(&encodings[i]);
    free(encodings);
    options = (rt_encode_options){.max_length = 1};
    assert_int_equal(rt_encode_ids(tokenizer, &text, &options, ids, 4, &count, NULL), RETORT_ARGUMENT);
    options = (rt_encode_options){.cache = rt_word_cache_new(other, 8)};
    assert_int_equal(rt_encode_ids(tokenizer, &text, &options, ids, 4, &count, NULL), RETORT_ARGUMENT);
    rt_word_cache_free(options.cache);
    rt_tokenizer_free(other);
    rt_tokenizer_free(tokenizer);
}

/* A run of marks of any length is put in order in linear time. */
static void test_long_run_of_marks(void **state) {
    (void)state;
    enum { PAIRS = 200000 };
    rt_arena arena = {0};
    const rt_normalizer normalizer = normalizer_of(&arena, true, false);
    uint8_t *bytes = malloc(5 * PAIRS);
    rt_normalized text = {0};
    uint32_t next;
    size_t size = 0;
    /* U+302E (class 224, kept) after U+0301 (230, dropped). */
    for (int i = 0; i < PAIRS; i++)
        size += rt_utf8_put(bytes + size, i == 0 ? 'a' : i % 2 == 0 ? 0x302E : 0x301);
    assert_true(rt_normalize(&normalizer, bytes, size, 0, &text, &next));
    assert_int_equal(next, PAIRS);
    assert_int_equal(text.count, PAIRS / 2);
    assert_int_equal(text.points[1].source, 1);
    assert_int_equal(text.points[2].source, 2);
    rt_normalized_free(&text);
    rt_arena_free(&arena);
    free(bytes);
}

/* A tokenizer of few pieces; ids from 6 on are those of added tokens that the vocabulary has not. */
static rt_tokenizer *tokenizer_with(json_t *added) {
    json_t *settings = json_pack(
        "{s:{s:s},s:{s:s},s:{s:s,s:s,s:s,s:i,s:{s:i,s:i,s:i,s:i,s:i,s:i}},s:o}", "normalizer", "type",
        "BertNormalizer", "pre_tokenizer", "type", "BertPreTokenizer", "model", "type", "WordPiece",
        "unk_token", "[UNK]", "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab",
        "[UNK]", 0, "a", 1, "##a", 2, "b", 3, " ", 4, "\t", 5, "added_tokens", added);
    assert_non_null(settings);
    rt_tokenizer *tokenizer = tokenizer_of(settings);
    json_decref(settings);
    return tokenizer;
}

static void check_tokens(const rt_tokenizer *tokenizer, const char *text, size_t count, const int32_t *ids,
                         const uint32_t *offsets) {
    rt_encode_options options = {0};
    rt_encoding encoding = {0};
    retort_text one = {.text = text, .length = strlen(text)};
    assert_int_equal(rt_encode(tokenizer, &one, &options, &encoding, NULL), RETORT_OK);
    assert_int_equal(encoding.count, count);
    assert_memory_equal(encoding.ids, ids, count * sizeof *ids);
    assert_memory_equal(encoding.offsets, offsets, 2 * count * sizeof *offsets);
    rt_encoding_free(&encoding);
}

/* A token that takes the white space behind it ends where others have begun already. */
static void test_added_tokens_in_white_space(void **state) {
    (void)state;
    rt_tokenizer *tokenizer = tokenizer_with(json_pack("[{s:s,s:b,s:b},{s:s,s:b}]", "content", " ", "rstrip",
                                                       1, "normalized", 0, "content", "\t", "normalized", 0));
    check_tokens(tokenizer, "a  \xE3\x80\x80\ta \xE3\x80\x80 b", 8, (int32_t[]){1, 4, 4, 5, 1, 4, 4, 3},
                 (uint32_t[]){0, 1, 1, 5, 2, 5, 4, 5, 5, 6, 6, 9, 8, 9, 9, 10});
    rt_tokenizer_free(tokenizer);
}

static void test_added_tokens_longest_first(void **state) {
    (void)state;
    rt_tokenizer *tokenizer = tokenizer_with(json_pack("[{s:s},{s:s},{s:s},{s:s}]", "content", "xyz",
                                                       "content", "x", "content", "xy", "content", "xz"));
    check_tokens(tokenizer, "xyzxyxaxz", 5, (int32_t[]){6, 8, 7, 1, 9},
                 (uint32_t[]){0, 3, 3, 5, 5, 6, 6, 7, 7, 9});
    assert_string_equal(rt_tokenizer_piece(tokenizer, 8), "xy");
    assert_int_equal(rt_tokenizer_id(tokenizer, "xyz", 3), 6);
    assert_int_equal(rt_tokenizer_id(tokenizer, "xyz", 2), 8);
    assert_int_equal(rt_tokenizer_id(tokenizer, "yz", 2), -1);
    assert_null(rt_tokenizer_piece(tokenizer, 10));
    assert_null(rt_tokenizer_piece(tokenizer, -1));
    rt_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_cases),
        cmocka_unit_test(test_bpe_cases),
        cmocka_unit_test(test_decoding),
        cmocka_unit_test(test_unknown_ids_are_not_decoded),
        cmocka_unit_test(test_packed_is_the_same),
        cmocka_unit_test(test_unigram_cases),
        cmocka_unit_test(test_pieces_that_lose),
        cmocka_unit_test(test_sentencepiece_files),
        cmocka_unit_test(test_what_sentencepiece_refuses),
        cmocka_unit_test(test_sentencepiece_of_real_texts),
        cmocka_unit_test(test_what_unigram_refuses),
        cmocka_unit_test(test_what_decoders_and_added_tokens_refuse),
        cmocka_unit_test(test_hostile_character_maps),
        cmocka_unit_test(test_damaged_tables),
        cmocka_unit_test(test_unigram_of_real_texts),
        cmocka_unit_test(test_classes_of_all_code_points),
        cmocka_unit_test(test_maps_of_all_code_points),
        cmocka_unit_test(test_real_texts),
        cmocka_unit_test(test_real_byte_level_texts),
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_classes_of_expressions),
        cmocka_unit_test(test_malformed_utf8),
        cmocka_unit_test(test_offsets_beside_malformed_bytes),
        cmocka_unit_test(test_one_question_of_many_texts),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long_run_of_marks),
        cmocka_unit_test(test_added_tokens_in_white_space),
        cmocka_unit_test(test_added_tokens_longest_first),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
