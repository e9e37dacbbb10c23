/* SPDX-License-Identifier: Apache-2.0
 * Reading tokenizers: files that are refused and why, vocab.txt, folders. */
#include "base/map.h"
#include "base/utf8.h"
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
    {"normalizer", "type", "\"XYZ\"", "normalizer \"XYZ\""},
    {"normalizer", "lowercase", "1", "\"lowercase\" is neither true nor false"},
    {"pre_tokenizer", "type", "\"UnicodeScripts\"", "pre_tokenizer \"UnicodeScripts\""},
    {"pre_tokenizer", "type", "\"ByteLevel\"", "ByteLevel is supported with BPE only"},
    {"pre_tokenizer", NULL, "{\"type\":\"Punctuation\",\"behavior\":\"isolated\"}", "behavior \"isolated\""},
    {"pre_tokenizer", NULL, "{\"type\":\"Digits\",\"individual_digits\":1}", "\"individual_digits\""},
    {"pre_tokenizer", NULL,
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+b\"},\"behavior\":\"Removed\"}",
     "\"(a+)+b\" is not supported"},
    {"pre_tokenizer", NULL, "{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Removed\"}",
     "neither a String of 1 to 512 bytes nor a Regex"},
    {"pre_tokenizer", NULL, "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"}}", "behavior \"none\""},
    {"pre_tokenizer", NULL, "{\"type\":\"Sequence\"}", "a Sequence must list"},
    {"pre_tokenizer", NULL,
     "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Sequence\",\"pretokenizers\":[{}]}]}",
     "pre_tokenizer \"none\""},
    {"pre_tokenizer", NULL,
     "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]}",
     "goes on after ByteLevel"},
    {"post_processor", NULL, "{\"type\":\"Sequence\"}", "a Sequence must list"},
    {"post_processor", NULL,
     "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\",\"cls\":[\"a\"],\"sep\":[\"a\"]},"
     "{\"type\":\"BertProcessing\",\"cls\":[\"a\"],\"sep\":[\"a\"]}]}",
     "two templates"},
    {"post_processor", NULL,
     "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"ByteLevel\"}]}",
     "trim_offsets twice"},
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
    {"decoder", "type", "\"CTC\"", "decoder \"CTC\""},
    {"decoder", NULL, "{\"type\":\"BPEDecoder\",\"suffix\":\"\"}", "suffix of BPEDecoder"},
    {"model", "type", "\"WordLevel\"", "model \"WordLevel\""},
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

static const char smallest_bpe[] = "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_"
                                   "tokenizer\":null,\"post_processor\":null,"
                                   "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_"
                                   "token\":null,\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,"
                                   "\"aba\":3},\"merges\":[\"a b\",[\"ab\",\"a\"]]}}";

static const change refused_bpe[] = {
    {"model", "dropout", "0.1", "dropout is not supported"},
    {"model", "unk_token", "\"<unk>\"", "no unknown token \"<unk>\""},
    {"model", "unk_token", "5", "no unknown token"},
    {"model", "fuse_unk", "1", "\"fuse_unk\""},
    {"model", "byte_fallback", "\"x\"", "\"byte_fallback\""},
    {"model", "continuing_subword_prefix", "7", "continuing_subword_prefix"},
    {"model", "continuing_subword_prefix", "\"##\"", "no \"##\" in front"},
    {"model", "end_of_word_suffix", "\"\u00e9\"", "end_of_word_suffix"},
    {"model", "merges", "null", "no merges"},
    {"model", "merges", "[\"a c\"]", "\"c\", which the vocabulary has not"},
    {"model", "merges", "[\"b a\"]", "\"ba\", which the vocabulary has not"},
    {"model", "merges", "[\"a b\",\"a b\"]", "merged twice"},
    {"model", "merges", "[\"ab\"]", "merge 0 is neither"},
    {"model", "merges", "[\"a b c\"]", "merge 0 is neither"},
    {"model", "merges", "[[\"a\"]]", "merge 0 is neither"},
    {"model", "merges", "[5]", "merge 0 is neither"},
    {"model", "vocab", "{\"a\":0,\"b\":1,\"ab\":2,\"aba\":7}", "the id of \"aba\" is 7"},
    {"model", "vocab", "{\"a\":0,\"b\":1,\"ab\":2,\"aba\":3,\"\":4}", "piece 4 has 0 bytes"},
    {"pre_tokenizer", NULL, "{\"type\":\"ByteLevel\"}", "for byte 0x00"},
};

static void check_refused(const char *file, const change *what) {
    json_t *root = json_loads(file, 0, NULL), *value = json_loads(what->value, JSON_DECODE_ANY, NULL);
    json_t *at = what->key != NULL ? json_object_get(root, what->part) : root;
    assert_non_null(value);
    json_object_set_new(at, what->key != NULL ? what->key : what->part, value);
    char *text = json_dumps(root, 0);
    expect_refusal(text, what->words);
    free(text);
    json_decref(root);
}

static void test_refused_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) check_refused(smallest, &refused[i]);
    for (size_t i = 0; i < sizeof refused_bpe / sizeof *refused_bpe; i++)
        check_refused(smallest_bpe, &refused_bpe[i]);
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

/* A table of BPE with any of its bytes changed is refused, or can be used. */
static void test_damaged_tables(void **state) {
    (void)state;
    rt_tokenizer *tokenizer = NULL;
    rt_packed_tokenizer packed;
    assert_int_equal(
        rt_tokenizer_from_json(&tokenizer, "t", smallest_bpe, sizeof smallest_bpe - 1, NULL, 0, NULL),
        RETORT_OK);
    assert_int_equal(rt_tokenizer_pack(tokenizer, &packed, NULL), RETORT_OK);
    char *table = malloc(packed.table_size);
    size_t refusals = 0;
    for (size_t at = 0; at < 8 * packed.table_size; at++) {
        rt_packed_tokenizer damaged = packed;
        rt_tokenizer *copy = NULL;
        rt_encoding encoding = {0};
        memcpy(table, packed.table, packed.table_size);
        table[at / 8] = (char)(table[at / 8] ^ (1 << at % 8));
        damaged.table = table;
        if (rt_tokenizer_unpack(&copy, "t", &damaged, NULL) != RETORT_OK) {
            refusals++;
            continue;
        }
        assert_int_equal(rt_encode(copy, &(retort_text){.text = "abaabba", .length = 7},
                                   &(rt_encode_options){0}, &encoding, NULL),
                         RETORT_OK);
        for (size_t i = 0; i < encoding.count; i++)
            assert_non_null(rt_tokenizer_piece(copy, encoding.ids[i]));
        rt_encoding_free(&encoding);
        rt_tokenizer_free(copy);
    }
    assert_true(refusals > 100);
    free(table);
    rt_packed_tokenizer_free(&packed);
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

/* A vocab.json of the 256 bytes and a few pieces. */
static json_t *byte_vocabulary(void) {
    static const char *const others[] = {"\xC4\xA0"
                                         "a",
                                         "ab",
                                         "<s>",
                                         "<pad>",
                                         "</s>",
                                         "<unk>",
                                         "<mask>"};
    json_t *vocab = json_object();
    int id = 0, other = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        bool seen = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
        uint8_t text[5] = {0};
        rt_utf8_put(text, (uint32_t)(seen ? byte : other));
        other += !seen;
        json_object_set_new(vocab, (char *)text, json_integer(id++));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        json_object_set_new(vocab, others[i], json_integer(id++));
    return vocab;
}

/* vocab.json and merges.txt are RoBERTa's: <mask> takes the space before it. */
static void test_merges_file(void **state) {
    (void)state;
    char folder[] = "/tmp/retort-text-XXXXXX", path[4096];
    static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json"};
    static const struct {
        const char *merges, *config, *words;
    } bad[] = {
        {"#version: 0.2\na b c\n", "{}", "merge 0 is neither"},
        {"a b\n\n", "{}", "merge 1 is neither"},
        {"a zz\n", "{}", "\"zz\", which the vocabulary has not"},
        {"a b\n", "{\"tokenizer_class\":\"BertTokenizer\"}", "'BertTokenizer'"},
        {"a b\n", "{\"cls_token\":\"[CLS]\"}", "no \"[CLS]\""},
        {"a \xFF\n", "{}", "not valid UTF-8"},
    };
    rt_tokenizer *tokenizer = NULL;
    retort_error err;
    json_t *vocab = byte_vocabulary();
    char *text = json_dumps(vocab, JSON_COMPACT);
    assert_non_null(mkdtemp(folder));
    write_file(folder, "merges.txt", "#version: 0.2\n\xC4\xA0 a\r\na b\n");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_IO); /* no vocab.json */
    write_file(folder, "vocab.json", text);
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
    expect_ids(tokenizer, "ab a <mask>b", (int32_t[]){258, 257, 256, 262, 'b', 260}, 6);
    rt_tokenizer_free(tokenizer);
    write_file(folder, "tokenizer_config.json",
               "{\"add_prefix_space\":true,\"tokenizer_class\":\"RobertaTokenizer\"}");
    assert_int_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
    expect_ids(tokenizer, "ab", (int32_t[]){258, 256, 'b', 260}, 4);
    rt_tokenizer_free(tokenizer);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_file(folder, "merges.txt", bad[i].merges);
        write_file(folder, "tokenizer_config.json", bad[i].config);
        assert_int_not_equal(rt_tokenizer_from_folder(&tokenizer, folder, &err), RETORT_OK);
        if (strstr(err.text, bad[i].words) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].words);
    }
    for (size_t i = 0; i < 3; i++) {
        rt_path_join(path, sizeof path, folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
    free(text);
    json_decref(vocab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_damaged_tables),
        cmocka_unit_test(test_every_beginning_of_a_file),
        cmocka_unit_test(test_vocab_file),
        cmocka_unit_test(test_refused_vocab_files),
        cmocka_unit_test(test_folder),
        cmocka_unit_test(test_merges_file),
    };
    return cmocka_run_group_tests_name("text_files", tests, NULL, NULL);
}
