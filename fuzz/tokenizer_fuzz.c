/* SPDX-License-Identifier: Apache-2.0
 * The files of a tokenizer: the first byte says which. Whatever is accepted must encode, must be the same
 * after packing, and, restricted to a text, must give its tokens by their new ids. */
#include "text/restrict.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "The [MASK] caf\xC3\xA9 \xED\x95\x9C\xE4\xB8\xAD, under e\xCC\x81\xCC\xA7!";

/* Settings that go with a vocabulary of the fuzzer. */
static const char settings[] =
    "{\"version\":\"1.0\",\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"continuing_subword_prefix\":\"#\","
    "\"max_input_chars_per_word\":9}}";

static const char bpe_settings[] = "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
                                   "\"model\":{\"type\":\"BPE\"}}";
static const char unigram_settings[] =
    "{\"version\":\"1.0\",\"normalizer\":{\"type\":\"Precompiled\"},\"pre_tokenizer\":{\"type\":"
    "\"Metaspace\"},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":true}}";
static uint8_t *table; /* of the tokenizer that was read from one */

/* Tables as a file has them, aligned as there. */
static void read_block(rt_tokenizer **out, const char *with, const uint8_t *bytes, size_t size) {
    rt_tokenizer_unpack(
        out, "fuzz",
        &(rt_packed_tokenizer){
            .vocab = "", .table = memcpy(table, bytes, size), .table_size = size, .settings = with},
        NULL);
}

/* The table of a model alone, with the head that a file has before it. */
static void read_table(rt_tokenizer **out, const uint8_t *bytes, size_t size) {
    uint8_t head[64] = "retokens";
    size_t padded = (size + 63) / 64 * 64;
    uint8_t *block = calloc(sizeof head + padded, 1);
    if (block == NULL) abort();
    memcpy(head + 8, &(uint64_t){size}, 8);
    memcpy(block, head, sizeof head);
    if (size > 0) memcpy(block + sizeof head, bytes, size);
    read_block(out, bpe_settings, block, sizeof head + padded);
    free(block);
}

static retort_status encode(const rt_tokenizer *tokenizer, rt_encoding *out) {
    return rt_encode(tokenizer, &(retort_text){.text = text, .length = sizeof text - 1},
                     &(rt_encode_options){0}, out, NULL);
}

/* `honest`: the pieces were made here, so that each token has one. */
static void check(const rt_tokenizer *tokenizer, bool honest) {
    rt_encoding first = {0}, second = {0};
    rt_tokenizer *copy = NULL;
    rt_packed_tokenizer packed;
    if (rt_tokenizer_pack(tokenizer, &packed, NULL) != RETORT_OK) abort();
    if (rt_tokenizer_unpack(&copy, "packed", &packed, NULL) != RETORT_OK) abort();
    if (encode(tokenizer, &first) != RETORT_OK || encode(copy, &second) != RETORT_OK) abort();
    if (first.count != second.count) abort();
    if (first.count > 0 && memcmp(first.ids, second.ids, first.count * sizeof *first.ids) != 0) abort();
    for (size_t i = 0; i < first.count; i++) {
        if (rt_tokenizer_piece(tokenizer, first.ids[i]) == NULL && honest) abort();
    }
    rt_encoding_free(&first);
    rt_encoding_free(&second);
    rt_tokenizer_free(copy);
    rt_packed_tokenizer_free(&packed);
}

/* Refused where too little is left for the model. WordPiece may find pieces of a word that was unknown. */
static void check_restricted(const rt_tokenizer *tokenizer) {
    const retort_text one = {.text = text, .length = sizeof text - 1};
    const rt_restriction_options options = {.languages = "ko", .texts = &one, .count = 1};
    rt_tokenizer *less;
    rt_restriction made;
    if (rt_tokenizer_restrict(&less, &made, tokenizer, &options, "fuzz", NULL) != RETORT_OK) return;
    if (made.count > made.before || made.identical_unseen > made.identical) abort();
    check(less, true);
    rt_restriction_free(&made);
    rt_tokenizer_free(less);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char vocab[] = "[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nc\n##a\n##f\n##e\n";
    static const char xlm[] = "{\"tokenizer_class\":\"XLMRobertaTokenizer\"}",
                      deberta[] = "{\"tokenizer_class\":\"DebertaV2Tokenizer\",\"split_by_punct\":true}";
    rt_tokenizer *tokenizer = NULL;
    if (size == 0) return 0;
    table = aligned_alloc(64, (size + 191) / 64 * 64);
    if (table == NULL) abort();
    const uint8_t *rest = data + 1;
    switch (data[0]) {
    case 'j':
        rt_tokenizer_from_json(&tokenizer, "fuzz", rest, size - 1, NULL, 0, NULL);
        break;
    case 'v':
        rt_tokenizer_from_vocab(&tokenizer, "fuzz", rest, size - 1, NULL, 0, NULL);
        break;
    case 'c':
        rt_tokenizer_from_vocab(&tokenizer, "fuzz", vocab, sizeof vocab - 1, rest, size - 1, NULL);
        break;
    case 't': /* the table of BPE, aligned as in a file */
        read_table(&tokenizer, rest, size - 1);
        break;
    case 'u': /* the tables of Unigram and of Precompiled */
        read_block(&tokenizer, unigram_settings, rest, size - 1);
        break;
    case 'x':
        rt_tokenizer_from_sentencepiece(&tokenizer, "fuzz", rest, size - 1, xlm, sizeof xlm - 1, NULL);
        break;
    case 'd':
        rt_tokenizer_from_sentencepiece(&tokenizer, "fuzz", rest, size - 1, deberta, sizeof deberta - 1,
                                        NULL);
        break;
    case 'p':
        rt_tokenizer_unpack(
            &tokenizer, "fuzz",
            &(rt_packed_tokenizer){.vocab = (const char *)rest, .vocab_size = size - 1, .settings = settings},
            NULL);
        break;
    default:
        break;
    }
    if (tokenizer != NULL) check(tokenizer, data[0] != 'u');
    if (tokenizer != NULL && data[0] != 'u' && data[0] != 't') check_restricted(tokenizer);
    rt_tokenizer_free(tokenizer);
    free(table);
    table = NULL;
    return 0;
}
