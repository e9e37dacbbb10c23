/* SPDX-License-Identifier: Apache-2.0
 * From ids back to a text, as the WordPiece decoder of Hugging Face tokenizers 0.23.3 does it
 * (tokenizers/src/decoders/wordpiece.rs): pieces with a space before each that does not go on within a word,
 * then the spaces go that English does not have before punctuation and in contractions. */
#include "text/state.h"

#include <stdlib.h>
#include <string.h>

/* In this order, each wherever it is found; none gets longer. */
static const struct {
    const char *from, *to;
} cleanups[] = {{" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
                {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
                {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

static size_t replace(char *text, size_t length, const char *from, const char *to) {
    size_t from_length = strlen(from), to_length = strlen(to), kept = 0;
    for (size_t at = 0; at < length;) {
        if (length - at >= from_length && memcmp(text + at, from, from_length) == 0) {
            memcpy(text + kept, to, to_length);
            kept += to_length;
            at += from_length;
        } else {
            text[kept++] = text[at++];
        }
    }
    return kept;
}

/* What a piece adds to the text, in `out`; its length. */
static size_t decode_piece(const rt_decoder *decoder, const char *piece, bool first, char *out) {
    size_t prefix = decoder->wordpiece ? strlen(decoder->prefix) : 0, length = 0;
    bool within = prefix > 0 && strncmp(piece, decoder->prefix, prefix) == 0;
    if (!first && within) {
        piece += prefix;
    } else if (!first) {
        out[length++] = ' ';
    }
    while (*piece != '\0') out[length++] = *piece++;
    for (size_t i = 0; decoder->cleanup && i < sizeof cleanups / sizeof *cleanups; i++) {
        length = replace(out, length, cleanups[i].from, cleanups[i].to);
    }
    return length;
}

retort_status rt_decode(const rt_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                        retort_write_fn write, void *user, retort_error *err) {
    char text[RT_PIECE_MAX + 1];
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        const char *piece = rt_tokenizer_piece(tokenizer, ids[i]);
        if (piece == NULL) {
            return rt_fail(err, RETORT_ARGUMENT, "decode: id %zu is %d: the vocabulary has no such piece", i,
                           ids[i]);
        }
        if (skip_special && tokenizer->special[ids[i]]) continue;
        size_t length = decode_piece(&tokenizer->decoder, piece, first, text);
        first = false;
        if (write(user, text, length) != 0)
            return rt_fail(err, RETORT_CANCELLED, "decode: stopped by its writer");
    }
    return RETORT_OK;
}
