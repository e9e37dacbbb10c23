/* SPDX-License-Identifier: Apache-2.0
 * Texts: the path with a cache must give what the plain one gives. The first byte chooses tokenizer and
 * options, a line feed, if there is one, separates the texts of a pair. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_IDS = 1 << 16, WORDPIECES = 4, TOKENIZERS = 8 };

static const char vocab[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\na\nb\nc\ne\nun\n##aff\n##able\n##a\n##b\n##c\n##e\n"
    "##s\n.\n,\n!\n[\n]\n\u00e9\n##\u00e9\n\u0301\n##\u0301\n\u4e2d\n\u56fd\n\u3002\n\u1112\n"
    "##\u1161\n##\u11ab\n\ud55c\n##\ud55c\n\u304b\n\U00020000\n\u0131\n";

/* tokenizer_config.json of each WordPiece: uncased, cased, and two with added tokens. */
static const char *const configs[WORDPIECES] = {
    "{}",
    "{\"do_lower_case\":false}",
    ("{\"strip_accents\":false,\"added_tokens_decoder\":{"
     "\"90\":{\"content\":\"<x>\",\"special\":true,\"lstrip\":true},"
     "\"91\":{\"content\":\"ab\",\"normalized\":false,\"single_word\":true,\"rstrip\":true}}}"),
    ("{\"tokenize_chinese_chars\":false,\"added_tokens_decoder\":{"
     "\"90\":{\"content\":\"A b\",\"normalized\":true}}}"),
};

/* BPE of characters, cut in several ways: the pieces of which several merges make the same one take the heap. */
#define BPE(more, merges)                                                                                    \
    "{\"version\":\"1.0\"," more                                                                             \
    ",\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"vocab\":{\"<unk>\":0,"                           \
    "\"a\":1,\"b\":2,\"ab\":3,\"aba\":4,\" "                                                                 \
    "\":5,\"<s>\":6,\"ba\":7,\"<0xC3>\":8,\"<0xA9>\":9},\"merges\":" merges "}}"
static const char *const files[TOKENIZERS - WORDPIECES] = {
    BPE("\"pre_tokenizer\":null",
        "[[\"a\",\"b\"],[\"ab\",\"a\"],[\"b\",\"a\"],[\"a\",\"ba\"]],\"fuse_unk\":true"),
    BPE("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{\"type\":"
        "\"Punctuation\","
        "\"behavior\":\"MergedWithNext\"},{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+\"},"
        "\"behavior\":"
        "\"MergedWithPrevious\",\"invert\":true}]},\"post_processor\":{\"type\":\"RobertaProcessing\","
        "\"cls\":[\"<s>\"],"
        "\"sep\":[\"a\"]},\"added_tokens\":[{\"content\":\" "
        "\",\"lstrip\":true,\"rstrip\":true,\"normalized\":false},"
        "{\"content\":\"<s>\",\"special\":true}]",
        "[[\"a\",\"b\"],[\"ab\",\"a\"]],\"byte_fallback\":true"),
    BPE("\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"post_processor\":{\"type\":\"ByteLevel\"}",
        "[[\"a\",\"b\"],[\"ab\",\"a\"]]"),
    BPE("\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
        "[[\"a\",\"b\"],[\"ab\",\"a\"]]"),
};

static rt_tokenizer *tokenizers[TOKENIZERS];
static rt_word_cache *caches[TOKENIZERS];

static void open_all(void) {
    for (size_t i = 0; i < TOKENIZERS; i++) {
        retort_status status = i < WORDPIECES
                                   ? rt_tokenizer_from_vocab(&tokenizers[i], "fuzz", vocab, sizeof vocab - 1,
                                                             configs[i], strlen(configs[i]), NULL)
                                   : rt_tokenizer_from_json(&tokenizers[i], "fuzz", files[i - WORDPIECES],
                                                            strlen(files[i - WORDPIECES]), NULL, 0, NULL);
        if (status != RETORT_OK) abort();
        caches[i] = rt_word_cache_new(tokenizers[i], 64);
    }
}

static void expect_same(const void *a, const void *b, size_t size) {
    if (size > 0 && memcmp(a, b, size) != 0) abort();
}

static void compare_encodings(const rt_tokenizer *tokenizer, const retort_text *text,
                              rt_encode_options options, rt_word_cache *cache) {
    static rt_encoding plain, fast;
    static int32_t ids[MAX_IDS];
    size_t count = 0;
    retort_status status = rt_encode(tokenizer, text, &options, &plain, NULL);
    options.cache = cache;
    if (rt_encode(tokenizer, text, &options, &fast, NULL) != status) abort();
    if (rt_encode_ids(tokenizer, text, &options, ids, MAX_IDS, &count, NULL) != status) abort();
    if (status != RETORT_OK) return;
    if (plain.count != fast.count || plain.count != count) abort();
    expect_same(plain.ids, ids, count * sizeof *ids);
    expect_same(plain.ids, fast.ids, count * sizeof *ids);
    expect_same(plain.types, fast.types, count * sizeof *plain.types);
    expect_same(plain.words, fast.words, count * sizeof *plain.words);
    expect_same(plain.offsets, fast.offsets, 2 * count * sizeof *plain.offsets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (tokenizers[0] == NULL) open_all();
    if (size == 0 || size > MAX_IDS / 4) return 0;
    const char *text = (const char *)data + 1, *feed = memchr(text, '\n', size - 1);
    retort_text input = {.text = text, .length = size - 1};
    if (feed != NULL) {
        input.length = (size_t)(feed - text);
        input.pair = feed + 1;
        input.pair_length = size - 2 - input.length;
    }
    size_t which = data[0] % TOKENIZERS;
    rt_encode_options options = {
        .max_length = data[0] & 32 ? 3u + (data[0] >> 5) : 0,
        .special_as_text = data[0] & 8,
        .no_special = data[0] & 16,
        .words = true,
    };
    compare_encodings(tokenizers[which], &input, options, caches[which]);
    compare_encodings(tokenizers[which], &input, options, NULL);
    return 0;
}
