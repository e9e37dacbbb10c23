/* SPDX-License-Identifier: Apache-2.0
 * The files of a tokenizer: the first byte says which. Whatever is accepted must encode, and must be the same
 * after packing. */
#include "text/tokenizer.h"

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
static void *table; /* of the tokenizer that was read from one */

static void read_table(rt_tokenizer **out, const uint8_t *bytes, size_t size) {
    table = aligned_alloc(64, (size + 64) / 64 * 64);
    if (table == NULL) abort();
    memcpy(table, bytes, size);
    rt_tokenizer_unpack(
        out, "fuzz",
        &(rt_packed_tokenizer){.vocab = "", .table = table, .table_size = size, .settings = bpe_settings},
        NULL);
}

static retort_status encode(const rt_tokenizer *tokenizer, rt_encoding *out) {
    return rt_encode(tokenizer, &(retort_text){.text = text, .length = sizeof text - 1},
                     &(rt_encode_options){0}, out, NULL);
}

static void check(const rt_tokenizer *tokenizer) {
    rt_encoding first = {0}, second = {0};
    rt_tokenizer *copy = NULL;
    rt_packed_tokenizer packed;
    if (rt_tokenizer_pack(tokenizer, &packed, NULL) != RETORT_OK) abort();
    if (rt_tokenizer_unpack(&copy, "packed", &packed, NULL) != RETORT_OK) abort();
    if (encode(tokenizer, &first) != RETORT_OK || encode(copy, &second) != RETORT_OK) abort();
    if (first.count != second.count || memcmp(first.ids, second.ids, first.count * sizeof *first.ids) != 0)
        abort();
    for (size_t i = 0; i < first.count; i++) {
        if (rt_tokenizer_piece(tokenizer, first.ids[i]) == NULL) abort();
    }
    rt_encoding_free(&first);
    rt_encoding_free(&second);
    rt_tokenizer_free(copy);
    rt_packed_tokenizer_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char vocab[] = "[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nc\n##a\n##f\n##e\n";
    rt_tokenizer *tokenizer = NULL;
    if (size == 0) return 0;
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
    case 'p':
        rt_tokenizer_unpack(
            &tokenizer, "fuzz",
            &(rt_packed_tokenizer){.vocab = (const char *)rest, .vocab_size = size - 1, .settings = settings},
            NULL);
        break;
    default:
        break;
    }
    if (tokenizer != NULL) check(tokenizer);
    rt_tokenizer_free(tokenizer);
    free(table);
    table = NULL;
    return 0;
}
