/* SPDX-License-Identifier: Apache-2.0
 * Reading tokenizers: files that are refused and why, vocab.txt, folders. */
#include "base/map.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- tokenizer.json, refused -------------------------------------------------------------------------- */

static void expect_refusal(const char *json, const char *words) {
    rt_tokenizer *tokenizer = NULL;
    retort_error err = {0};
    retort_status status = rt_tokenizer_from_json(&tokenizer, "t.json", json, strlen(json), NULL, 0, &err);
    if (status == RETORT_OK) fail_msg("accepted: %s", json);
    assert_null(tokenizer);
    if (strstr(err.text, words) == NULL || strncmp(err.text, "t.json", 6) != 0) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    }
}

/* A change of the smallest good file: the value at `part` (or at `key` of it) becomes `value`. */
typedef struct change {
    const char *part, *key, *value, *words;
} change;

static const char smallest[] =
    "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true}"
    ","
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":\"BertProcessing\","
    "\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2]},\"decoder\":{\"type\":\"WordPiece\"},\"model\":{\"type\":"
    "\"WordPiece\","
    "\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,"
    "\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":3}}}";

static const change refused[] = {
    {"version", NULL, "\"2.0\"", "version \"2.0\""},
    {"normalizer", "type", "\"NFC\"", "normalizer \"NFC\""},
    {"normalizer", "lowercase", "1", "\"lowercase\" is neither true nor false"},
    {"pre_tokenizer", "type", "\"Whitespace\"", "pre_tokenizer \"Whitespace\""},
    {"pre_tokenizer", NULL, "null", "pre_tokenizer \"none\""},
    {"post_processor", "type", "\"RobertaProcessing\"", "\"RobertaProcessing\""},
    {"post_processor", "cls", "[\"[CLS]\",7]", "has id 7 there and 1 in the vocabulary"},
    {"post_processor", "sep", "[\"</s>\",2]", "no \"</s>\""},
    {"post_processor", "sep", "[]", "a token is not a string"},
    {"post_processor", NULL, "{\"type\":\"TemplateProcessing\",\"single\":[],\"pair\":[]}", "0 parts"},
    {"post_processor", NULL,
     "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}]}",
     "\"single\""},
    {"post_processor", NULL,
     "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[X]\",\"type_id\":0}}]}",
     "1 to 64"},
    {"decoder", "type", "\"BPEDecoder\"", "decoder \"BPEDecoder\""},
    {"model", "type", "\"BPE\"", "model \"BPE\""},
    {"model", "unk_token", "\"<unk>\"", "no unknown token \"<unk>\""},
    {"model", "unk_token", "5", "must be strings"},
    {"model", "max_input_chars_per_word", "0", "1 to 1024"},
    {"model", "vocab", "{}", "no vocab"},
    {"model", "vocab", "{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":3}", "the id of \"[SEP]\" is 3"},
    {"model", "vocab", "{\"[UNK]\":0,\"[CLS]\":-1}", "is -1"},
    {"model", "vocab", "{\"[UNK]\":0,\"[CLS]\":99999999999}", "is 99999999999"},
    {"model", "vocab", "{\"[UNK]\":0,\"[CLS]\":\"1\"}", "the id of \"[CLS]\""},
    {"model", "vocab", "{\"[UNK]\":0,\"[CLS]\":0}", "both have id 0"},
    {"model", "vocab", "{\"[UNK]\":0,\"a\\nb\":1}", "line feed"},
    {"added_tokens", NULL, "[{\"content\":\"x\"},{\"content\":\"x\"}]", "listed twice"},
    {"added_tokens", NULL, "[{\"id\":3}]", "without content"},
    {"added_tokens", NULL, "[{\"content\":\"x\",\"lstrip\":0}]", "\"lstrip\""},
    {"added_tokens", NULL, "[{\"content\":\"\\u0301\",\"normalized\":true}]", "nothing is left"},
};

static void test_refused_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        json_t *root = json_loads(smallest, 0, NULL),
               *value = json_loads(refused[i].value, JSON_DECODE_ANY, NULL);
        json_t *at = refused[i].key != NULL ? json_object_get(root, refused[i].part) : root;
        assert_non_null(value);
        json_object_set_new(at, refused[i].key != NULL ? refused[i].key : refused[i].part, value);
        char *text = json_dumps(root, 0);
        expect_refusal(text, refused[i].words);
        free(text);
        json_decref(root);
    }
    expect_refusal("[]", "");
    expect_refusal("{\"version\":", "");
}

static void test_every_beginning_of_a_file(void **state) {
    (void)state;
    rt_tokenizer *tokenizer = NULL;
    for (size_t size = 0; size < sizeof smallest - 1; size++) {
        assert_int_not_equal(rt_tokenizer_from_json(&tokenizer, "t", smallest, size, NULL, 0, NULL),
                             RETORT_OK);
    }
    assert_int_equal(rt_tokenizer_from_json(&tokenizer, "t", smallest, sizeof smallest - 1, NULL, 0, NULL),
                     RETORT_OK);
    rt_tokenizer_free(tokenizer);
}

/* ---- vocab.txt ---------------------------------------------------------------------------------------- */

static retort_status from_vocab(rt_tokenizer **out, const char *vocab, const char *config,
                                retort_error *err) {
    return rt_tokenizer_from_vocab(out, "vocab.txt", vocab, strlen(vocab), config,
                                   config != NULL ? strlen(config) : 0, err);
}

static void expect_ids(const rt_tokenizer *tokenizer, const char *text, const int32_t *expected,
                       size_t count) {
    int32_t ids[64];
    size_t n = 0;
    retort_text input = {.text = text, .length = strlen(text)};
    assert_int_equal(rt_encode_ids(tokenizer, &input, &(rt_encode_options){0}, ids, 64, &n, NULL), RETORT_OK);
    assert_int_equal(n, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
}

static void test_vocab_file(void **state) {
    (void)state;
    static const char vocab[] = "[PAD]\r\n[UNK]\r\n[CLS]\n[SEP]\n\na\nA\n##b\xC3\xA9\n<s>\n";
    rt_tokenizer *tokenizer;
    assert_int_equal(from_vocab(&tokenizer, vocab, NULL, NULL), RETORT_OK);
    rt_tokenizer_info info = rt_tokenizer_describe(tokenizer);
    assert_int_equal(info.pieces, 9);
    assert_int_equal(info.unk, 1);
    assert_int_equal(info.mask, -1);
    assert_int_equal(info.max_length, 0);
    assert_true(info.lowercase);
    assert_string_equal(rt_tokenizer_piece(tokenizer, 7), "##b\xC3\xA9");
    assert_null(rt_tokenizer_piece(tokenizer, 4));
    assert_null(rt_tokenizer_piece(tokenizer, -1));
    assert_null(rt_tokenizer_piece(tokenizer, 9));
    assert_int_equal(rt_tokenizer_id(tokenizer, "A", 1), 6);
    assert_int_equal(rt_tokenizer_id(tokenizer, "", 0), -1);
    expect_ids(tokenizer, "A [MASK][SEP]", (int32_t[]){2, 5, 1, 1, 1, 3, 3}, 7);
    rt_tokenizer_free(tokenizer);
    static const char config[] =
        "{\"do_lower_case\":false,\"model_max_length\":1000000000000000019884624838656,\"cls_token\":\"<s>\","
        "\"sep_token\":{\"content\":\"<s>\"},\"tokenizer_class\":\"BertTokenizer\","
        "\"added_tokens_decoder\":{\"10\":{\"content\":\"y\"},\"9\":{\"content\":\"zz\",\"special\":true}}}";
    assert_int_equal(from_vocab(&tokenizer, vocab, config, NULL), RETORT_OK);
    info = rt_tokenizer_describe(tokenizer);
    assert_int_equal(info.pieces, 11);
    assert_int_equal(info.cls, 8);
    assert_int_equal(info.max_length, 0);
    assert_string_equal(rt_tokenizer_piece(tokenizer, 9), "zz");
    expect_ids(tokenizer, "Azzyb\xC3\xA9", (int32_t[]){8, 6, 9, 10, 1, 8}, 6);
    rt_tokenizer_free(tokenizer);
}

static void test_refused_vocab_files(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"", NULL, "vocabulary is empty"},
        {"[UNK]\n[CLS]\n[SEP]\na\nb\na\n", NULL, "pieces 3 and 5 are both \"a\""},
        {"[CLS]\n[SEP]\n", NULL, "no unknown token \"[UNK]\""},
        {"[UNK]\n[SEP]\n", NULL, "no \"[CLS]\""},
        {"[UNK]\n[CLS]\n", NULL, "no \"[SEP]\""},
        {"[UNK]\n[CLS]\n[SEP]\n\xC3\n", NULL, "piece 3 is not valid UTF-8"},
        {"[UNK]\n[CLS]\n[SEP]\n", "{\"do_lower_case\":", "tokenizer_config.json of vocab.txt"},
        {"[UNK]\n[CLS]\n[SEP]\n", "{\"do_lower_case\":3}", "neither true nor false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rt_tokenizer *tokenizer = NULL;
        retort_error err = {0};
        assert_int_not_equal(from_vocab(&tokenizer, cases[i][0], cases[i][1], &err), RETORT_OK);
        assert_null(tokenizer);
        if (strstr(err.text, cases[i][2]) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.text, cases[i][2]);
    }
}

static void write_file(const char *folder, const char *name, const char *text) {
    char path[4096];
    assert_true(rt_path_join(path, sizeof path, folder, name));
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_folder(void **state) {
    (void)state;
    static const char *const names[] = {"vocab.txt", "tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "added_tokens.json"};
    char folder[] = "/tmp/retort-text-XXXXXX", path[4096];
    rt_tokenizer *tokenizer = NULL;
    retort_error err;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_IO);
    write_file(folder, "vocab.txt", "[UNK]\n[CLS]\n[SEP]\n<s>\n");
    write_file(folder, "special_tokens_map.json", "{\"cls_token\":\"<s>\"}");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
    assert_int_equal(rt_tokenizer_describe(tokenizer).cls, 3);
    rt_tokenizer_free(tokenizer);
    write_file(folder, "added_tokens.json", "{\"two words\":5,\"<s>\":3,\"zz\":4}");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
    expect_ids(tokenizer, "zz Two words <s>", (int32_t[]){3, 4, 5, 3, 2}, 5);
    rt_tokenizer_free(tokenizer);
    write_file(folder, "added_tokens.json", "{\"zz\":\"4\"}");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "added_tokens.json: the id of \"zz\""));
    write_file(folder, "added_tokens.json", "{}");
    write_file(folder, "tokenizer.json", smallest);
    write_file(folder, "tokenizer_config.json", "{\"do_lower_case\":false,\"model_max_length\":64}");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
    assert_int_equal(rt_tokenizer_describe(tokenizer).max_length, 64);
    assert_false(rt_tokenizer_describe(tokenizer).cut_left);
    assert_false(rt_tokenizer_describe(tokenizer).lowercase);
    rt_tokenizer_free(tokenizer);
    write_file(folder, "tokenizer_config.json", "{\"max_len\":16,\"truncation_side\":\"left\"}");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
    assert_int_equal(rt_tokenizer_describe(tokenizer).max_length, 16);
    assert_true(rt_tokenizer_describe(tokenizer).cut_left);
    rt_tokenizer_free(tokenizer);
    write_file(folder, "tokenizer_config.json", "{\"model_max_length\": }");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_FORMAT);
    assert_non_null(strstr(err.text, "tokenizer_config.json: line 1"));
    for (size_t i = 0; i < 4; i++) {
        rt_path_join(path, sizeof path, folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_files), cmocka_unit_test(test_every_beginning_of_a_file),
        cmocka_unit_test(test_vocab_file),    cmocka_unit_test(test_refused_vocab_files),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests_name("text_files", tests, NULL, NULL);
}
