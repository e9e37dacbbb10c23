/* SPDX-License-Identifier: Apache-2.0
 * Tokens of requests, for bench/tokenizer_compare.py: a line of stdin is {"text", "pair"?, "words"?,
 * "max_length"?, "truncation"?, "stride"?, "windows"?, "special_as_text"?, "no_special"?}, a line of stdout
 * the same as Hugging Face would say it: a list of {"ids", "types", "offsets", "words"}, or {"error"}. Every
 * request goes through the plain path and through the fast one, and a difference between them is an error. For
 * bench/decoder_compare.py it is {"decode": ids, "skip_special"?}, and the answer {"text"}, or {"error"}.
 *
 *     tokenizer_dump tokenizer.json */
#include "base/map.h"
#include "text/tokenizer.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WINDOWS = 4096, MAX_WORDS = 4096 };

static json_t *numbers(const int32_t *values, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_integer(values[i]));
    return list;
}

static json_t *describe(const rt_encoding *encoding) {
    json_t *out = json_object(), *offsets = json_array();
    for (size_t i = 0; i < 2 * encoding->count; i++) {
        json_array_append_new(offsets, json_integer(encoding->offsets[i]));
    }
    json_object_set_new(out, "ids", numbers(encoding->ids, encoding->count));
    json_object_set_new(out, "types", numbers(encoding->types, encoding->count));
    json_object_set_new(out, "words", numbers(encoding->words, encoding->count));
    json_object_set_new(out, "offsets", offsets);
    return out;
}

static retort_text text_of(const json_t *text, const json_t *pair) {
    return (retort_text){json_string_value(text), json_string_length(text), json_string_value(pair),
                         json_string_length(pair)};
}

static rt_encode_options options_of(const json_t *request) {
    static const char *const names[] = {"longest_first", "only_first", "only_second"};
    const char *truncation = json_string_value(json_object_get(request, "truncation"));
    rt_encode_options options = {
        .max_length = (size_t)json_integer_value(json_object_get(request, "max_length")),
        .stride = (size_t)json_integer_value(json_object_get(request, "stride")),
        .special_as_text = json_is_true(json_object_get(request, "special_as_text")),
        .no_special = json_is_true(json_object_get(request, "no_special")),
        .words = true,
    };
    for (int i = 0; truncation != NULL && i < 3; i++) {
        if (strcmp(names[i], truncation) == 0) options.truncation = (rt_truncation)i;
    }
    return options;
}

static retort_status encode_words(const rt_tokenizer *tokenizer, const json_t *words,
                                  const rt_encode_options *options, rt_encoding *out, retort_error *err) {
    retort_text texts[MAX_WORDS];
    size_t count = json_array_size(words) < MAX_WORDS ? json_array_size(words) : MAX_WORDS;
    for (size_t i = 0; i < count; i++) texts[i] = text_of(json_array_get(words, i), NULL);
    return rt_encode_words(tokenizer, texts, count, options, out, err);
}

/* One encoding, or all windows; *count of them. */
static retort_status encode(const rt_tokenizer *tokenizer, const json_t *request,
                            const rt_encode_options *options, rt_encoding **out, size_t *count,
                            retort_error *err) {
    const json_t *words = json_object_get(request, "words");
    retort_text text = text_of(json_object_get(request, "text"), json_object_get(request, "pair"));
    if (json_is_true(json_object_get(request, "windows"))) {
        return rt_encode_windows(tokenizer, &text, options, MAX_WINDOWS, out, count, err);
    }
    *count = 1;
    *out = calloc(1, sizeof **out);
    if (words != NULL) return encode_words(tokenizer, words, options, *out, err);
    return rt_encode(tokenizer, &text, options, *out, err);
}

static json_t *answer(const rt_tokenizer *tokenizer, const json_t *request, rt_word_cache *cache) {
    rt_encode_options options = options_of(request);
    options.cache = cache;
    rt_encoding *encodings = NULL;
    size_t count = 0;
    retort_error err = {0};
    json_t *out = json_array();
    if (encode(tokenizer, request, &options, &encodings, &count, &err) != RETORT_OK) {
        json_decref(out);
        out = json_pack("{s:s}", "error", err.text);
    }
    for (size_t i = 0; encodings != NULL && i < count; i++) {
        if (json_is_array(out)) json_array_append_new(out, describe(&encodings[i]));
        rt_encoding_free(&encodings[i]);
    }
    free(encodings);
    return out;
}

/* Whether rt_encode_ids gives the ids of `expected`. */
static bool ids_agree(const rt_tokenizer *tokenizer, const json_t *request, rt_word_cache *cache,
                      const json_t *expected) {
    static int32_t ids[1 << 20];
    size_t count = 0;
    rt_encode_options options = options_of(request);
    retort_text text = text_of(json_object_get(request, "text"), json_object_get(request, "pair"));
    options.cache = cache;
    if (json_object_get(request, "words") != NULL || json_is_true(json_object_get(request, "windows")))
        return true;
    retort_status status =
        rt_encode_ids(tokenizer, &text, &options, ids, sizeof ids / sizeof *ids, &count, NULL);
    if (status != RETORT_OK) return !json_is_array(expected);
    json_t *made = numbers(ids, count);
    bool same = json_equal(made, json_object_get(json_array_get(expected, 0), "ids"));
    json_decref(made);
    return same;
}

/* What ids decode to. */
typedef struct decoded {
    char text[1 << 16];
    size_t length;
} decoded;

static int append(void *user, const char *text, size_t length) {
    decoded *out = user;
    if (length > sizeof out->text - out->length) return 1;
    memcpy(out->text + out->length, text, length);
    out->length += length;
    return 0;
}

static json_t *decode(const rt_tokenizer *tokenizer, const json_t *request) {
    static decoded out;
    static int32_t ids[4096];
    const json_t *list = json_object_get(request, "decode");
    size_t all = json_array_size(list), n = all < sizeof ids / sizeof *ids ? all : sizeof ids / sizeof *ids;
    retort_error err = {0};
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    out.length = 0;
    retort_status status = rt_decode(
        tokenizer, ids, n, json_is_true(json_object_get(request, "skip_special")), append, &out, &err);
    if (status != RETORT_OK) return json_pack("{s:s}", "error", err.text);
    json_t *text = json_stringn(out.text, out.length);
    return text != NULL ? json_pack("{s:o}", "text", text) : json_pack("{s:s}", "error", "not UTF-8");
}

static void print(json_t *answer) {
    json_dumpf(answer, stdout, JSON_COMPACT);
    puts("");
    json_decref(answer);
}

int main(int argc, char **argv) {
    rt_map map;
    rt_tokenizer *tokenizer;
    retort_error err = {0};
    char *line = NULL;
    size_t capacity = 0;
    if (argc != 2 || rt_map_open(&map, argv[1], &err) != RETORT_OK ||
        rt_tokenizer_from_json(&tokenizer, argv[1], map.data, map.size, NULL, 0, &err) != RETORT_OK) {
        fprintf(stderr, "tokenizer_dump: %s\n",
                argc == 2 ? err.text : "usage: tokenizer_dump tokenizer.json");
        return 2;
    }
    rt_word_cache *cache = rt_word_cache_new(tokenizer, 64);
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *request = json_loads(line, JSON_ALLOW_NUL, NULL);
        if (json_object_get(request, "decode") != NULL) {
            print(decode(tokenizer, request));
            json_decref(request);
            continue;
        }
        json_t *plain = answer(tokenizer, request, NULL);
        json_t *fast = answer(tokenizer, request, cache);
        bool same = json_equal(plain, fast) && ids_agree(tokenizer, request, cache, plain) &&
                    ids_agree(tokenizer, request, NULL, plain);
        print(same ? json_incref(plain) : json_pack("{s:s}", "error", "the paths differ"));
        json_decref(request);
        json_decref(plain);
        json_decref(fast);
    }
    free(line);
    rt_word_cache_free(cache);
    rt_tokenizer_free(tokenizer);
    rt_map_close(&map);
    return 0;
}
