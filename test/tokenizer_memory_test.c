/* SPDX-License-Identifier: Apache-2.0
 * Tokenizers when memory runs out: for every n, reading, restricting, packing and encoding is done with the n-th allocation failing
 * (and again with all from the n-th on). It must report an error and leak nothing. */
#include "failing_malloc.h"
#include "format/json.h"
#include "text/charsmap.h"
#include "text/restrict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* Files of a tokenizer: a tokenizer.json, or a .model of a class. */
typedef struct tokenizer_file {
    const char *bytes;
    size_t size;
    const char *config; /* NULL: a tokenizer.json */
} tokenizer_file;

static const char text[] = "AB ab  \xE2\x91\xA0\xCC\x81 \xEF\xAC\x81 zz <mask> \xED\x95\x9C\xEA\xB5\xAD `` "
                           "\xC3\x84q\xCC\x87\xCC\xA3";

static retort_status encode_packed(const rt_packed_tokenizer *packed, retort_error *err) {
    rt_tokenizer *tokenizer = NULL;
    rt_encoding encoding = {0};
    const retort_text pair = {.text = text, .length = sizeof text - 1, .pair = "ab", .pair_length = 2};
    retort_status status = rt_tokenizer_unpack(&tokenizer, "packed", packed, err);
    if (status == RETORT_OK)
        status = rt_encode(tokenizer, &pair, &(rt_encode_options){.words = true}, &encoding, err);
    rt_encoding_free(&encoding);
    rt_tokenizer_free(tokenizer);
    return status;
}

/* Replaces *tokenizer. */
static retort_status restrict_to_text(rt_tokenizer **tokenizer, retort_error *err) {
    static const char *const prompts[] = {"a"};
    const retort_text one = {.text = text, .length = sizeof text - 1};
    const rt_restriction_options options = {"ko,en", &one, 1, prompts, 1, 1};
    rt_tokenizer *less;
    rt_restriction made;
    retort_status status = rt_tokenizer_restrict(&less, &made, *tokenizer, &options, "test", err);
    if (status != RETORT_OK) return status;
    rt_restriction_free(&made);
    rt_tokenizer_free(*tokenizer);
    *tokenizer = less;
    return RETORT_OK;
}

static retort_status work(const tokenizer_file *file, retort_error *err) {
    rt_tokenizer *tokenizer = NULL;
    rt_packed_tokenizer packed = {0};
    retort_status status =
        file->config == NULL
            ? rt_tokenizer_from_json(&tokenizer, "test", file->bytes, file->size, NULL, 0, err)
            : rt_tokenizer_from_sentencepiece(&tokenizer, "test", file->bytes, file->size, file->config,
                                              strlen(file->config), err);
    if (status == RETORT_OK) status = restrict_to_text(&tokenizer, err);
    if (status == RETORT_OK) status = rt_tokenizer_pack(tokenizer, &packed, err);
    if (status == RETORT_OK) status = encode_packed(&packed, err);
    rt_packed_tokenizer_free(&packed);
    rt_tokenizer_free(tokenizer);
    return status;
}

/* Returns whether the n-th allocation was asked for. */
static bool attempt(const tokenizer_file *file, const char *name, long n) {
    retort_error err = {0};
    atomic_store(&asked, 0);
    atomic_store(&live, 0);
    atomic_store(&fail_at, n);
    atomic_store(&armed, true);
    retort_status status = work(file, &err);
    atomic_store(&armed, false);
    bool failed = n > 0 && atomic_load(&asked) >= n;
    if (!failed && status != RETORT_OK) fail_msg("%s without a failure: %s", name, err.text);
    if (status != RETORT_OK && (err.text[0] == '\0' || status != err.status))
        fail_msg("%s: allocation %ld fails without a word", name, n);
    if (atomic_load(&live) != 0)
        fail_msg("%s: allocation %ld fails: %ld blocks leak", name, n, atomic_load(&live));
    return failed;
}

static void fail_each(const tokenizer_file *file, const char *name) {
    work(file, NULL); /* the C library allocates some things once and keeps them */
    attempt(file, name, 0);
    print_message("# %s: %ld allocations\n", name, atomic_load(&asked));
    for (int all = 0; all < 2; all++) {
        atomic_store(&sticky, all == 1);
        for (long n = 1; attempt(file, name, n); n++) {
        }
    }
}

static json_t *load_models(void) {
    char path[4096];
    const char *root = getenv("RETORT_ROOT");
    json_t *models;
    snprintf(path, sizeof path, "%s/test/golden/unigram_models.json", root != NULL ? root : ".");
    assert_int_equal(rt_json_load(&models, path, NULL), RETORT_OK);
    return models;
}

/* With a few pieces: each takes four allocations, all alike. */
static void test_unigram(void **state) {
    (void)state;
    static const char *const names[] = {"albert", "bytes", "nmt", "added"};
    json_t *root = load_models(), *vocab = json_array();
    for (size_t i = 0; i < 12; i++)
        json_array_append(vocab, json_array_get(json_object_get(root, "vocab"), i));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *settings = json_object_get(json_object_get(root, "models"), names[i]);
        json_object_set(json_object_get(settings, "model"), "vocab", vocab);
        char *bytes = json_dumps(settings, JSON_COMPACT);
        fail_each(&(tokenizer_file){bytes, strlen(bytes), NULL}, names[i]);
        free(bytes);
    }
    json_decref(vocab);
    json_decref(root);
}

static void test_sentencepiece(void **state) {
    (void)state;
    json_t *root = load_models();
    const json_t *model =
        json_object_get(json_object_get(json_object_get(root, "files"), "spm-albert"), "model");
    rt_buffer data = {0};
    assert_true(rt_base64_decode(&data, json_string_value(model), json_string_length(model)));
    fail_each(&(tokenizer_file){data.data, data.length, "{\"tokenizer_class\": \"AlbertTokenizer\"}"},
              "spm-albert");
    rt_buffer_free(&data);
    json_decref(root);
}

/* Merges, and a template in a Sequence. */
static void test_bpe(void **state) {
    (void)state;
    static const char settings[] = "{\"version\": \"1.0\", \"pre_tokenizer\": {\"type\": \"Whitespace\"}, "
                                   "\"post_processor\": {\"type\": "
                                   "\"Sequence\", \"processors\": [{\"type\": \"RobertaProcessing\", "
                                   "\"cls\": [\"<s>\", 0], \"sep\": [\"</s>\", "
                                   "1]}]}, \"added_tokens\": [{\"id\": 8, \"content\": \"<mask>\", "
                                   "\"special\": true}], \"model\": {\"type\": "
                                   "\"BPE\", \"unk_token\": \"u\", \"vocab\": {\"<s>\": 0, \"</s>\": 1, "
                                   "\"u\": 2, \"a\": 3, \"b\": 4, \"z\": 5, "
                                   "\"ab\": 6, \"zz\": 7}, \"merges\": [\"z z\", \"a b\"]}}";
    fail_each(&(tokenizer_file){settings, sizeof settings - 1, NULL}, "bpe");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unigram), cmocka_unit_test(test_sentencepiece),
                                       cmocka_unit_test(test_bpe)};
    return cmocka_run_group_tests_name("tokenizer_memory", tests, NULL, NULL);
}
