/* SPDX-License-Identifier: Apache-2.0
 * From ids back to a text, piece by piece. */
#include "text/state.h"

/* Without a decoder: pieces with spaces between them. */
static size_t join(const char *piece, bool first, char *out) {
    size_t length = 0;
    if (!first) out[length++] = ' ';
    while (*piece != '\0') out[length++] = *piece++;
    return length;
}

static size_t decode_piece(const rt_decoder *decoder, const char *piece, bool first, char *out) {
    return decoder->row != NULL ? decoder->row->run(decoder->data, piece, first, out)
                                : join(piece, first, out);
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
        if (skip_special && tokenizer->added.special[ids[i]]) continue;
        size_t length = decode_piece(&tokenizer->decoder, piece, first, text);
        first = false;
        if (write(user, text, length) != 0)
            return rt_fail(err, RETORT_CANCELLED, "decode: stopped by its writer");
    }
    return RETORT_OK;
}
