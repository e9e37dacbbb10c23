/* SPDX-License-Identifier: Apache-2.0
 * From ids back to a text, piece by piece. */
#include "text/state.h"

#include "base/utf8.h"

#include <string.h>

/* Without a decoder: pieces with spaces between them. */
static size_t join(const char *piece, rt_piece_place place, char *out) {
    size_t length = 0;
    if (!place.first) out[length++] = ' ';
    while (*piece != '\0') out[length++] = *piece++;
    return length;
}

static size_t decode_piece(const rt_decoder *decoder, const char *piece, rt_piece_place place, char *out) {
    return decoder->row != NULL ? decoder->row->run(decoder->data, piece, place, out)
                                : join(piece, place, out);
}

/* ---- Bytes to text ------------------------------------------------------------------------------------ */

enum { CHARACTER_MAX = 4 };

/* What has been decoded and not been written yet: bytes of a piece, behind the begin of a character. */
typedef struct pending {
    uint8_t bytes[CHARACTER_MAX + RT_PIECE_MAX + 1];
    size_t length;
} pending;

/* Bytes of the character that the first one begins, if it is the begin of one. */
static size_t expected_length(uint8_t byte) {
    return byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
}

/* Writes whole characters, U+FFFD for what is none. The last ones stay, unless it is the end: they may go on. */
static int write_characters(pending *from, bool end, retort_write_fn write, void *user) {
    char text[3 * sizeof from->bytes];
    size_t at = 0, length = 0;
    while (at < from->length) {
        uint32_t point;
        const uint8_t *bytes = from->bytes + at, *stop = from->bytes + from->length;
        if (!end && from->length - at < expected_length(*bytes)) break;
        at += rt_utf8_take(bytes, stop, &point);
        length += rt_utf8_put((uint8_t *)text + length, point);
    }
    from->length -= at;
    memmove(from->bytes, from->bytes + at, from->length);
    return write(user, text, length);
}

/* ---- All pieces ----------------------------------------------------------------------------------------- */

/* The place of the next id from `at` on that is decoded; n when there is none. */
static size_t next_id(const rt_tokenizer *tokenizer, const int32_t *ids, size_t at, size_t n,
                      bool skip_special) {
    for (; at < n; at++) {
        bool known = ids[at] >= 0 && ids[at] < tokenizer->info.pieces;
        if (!known || !skip_special || !tokenizer->added.special[ids[at]]) return at;
    }
    return n;
}

/* Whether the pieces from place `at` on that are bytes, as many as follow one another, are text together. */
static bool are_text(const rt_tokenizer *tokenizer, const int32_t *ids, size_t at, size_t n,
                     bool skip_special) {
    uint8_t character[CHARACTER_MAX];
    size_t length = 0;
    for (; at < n; at = next_id(tokenizer, ids, at + 1, n, skip_special)) {
        const char *piece = rt_tokenizer_piece(tokenizer, ids[at]);
        int byte = piece != NULL ? rt_byte_of_piece(piece) : -1;
        uint32_t point;
        if (byte < 0) break;
        character[length++] = (uint8_t)byte;
        if (length < expected_length(character[0])) continue;
        bool whole = rt_utf8_take(character, character + length, &point) == length;
        if (!whole || (length == 1 && character[0] >= 0x80)) return false;
        length = 0;
    }
    return length == 0;
}

retort_status rt_decode(const rt_tokenizer *tokenizer, const int32_t *ids, size_t n, bool skip_special,
                        retort_write_fn write, void *user, retort_error *err) {
    char text[RT_PIECE_MAX + 1];
    pending rest = {.length = 0};
    const rt_decoder *decoder = &tokenizer->decoder;
    bool bytes = decoder->row != NULL && decoder->row->bytes, first = true;
    bool fallback = decoder->row != NULL && decoder->row->fallback, among = false, garbled = false;
    for (size_t i = next_id(tokenizer, ids, 0, n, skip_special), next; i < n; i = next) {
        const char *piece = rt_tokenizer_piece(tokenizer, ids[i]);
        if (piece == NULL) {
            return rt_fail(err, RETORT_ARGUMENT, "decode: id %zu is %d: the vocabulary has no such piece", i,
                           ids[i]);
        }
        next = next_id(tokenizer, ids, i + 1, n, skip_special);
        bool byte = fallback && rt_byte_of_piece(piece) >= 0;
        if (byte && !among) garbled = !are_text(tokenizer, ids, i, n, skip_special);
        among = byte;
        size_t length =
            decode_piece(decoder, piece, (rt_piece_place){first, next == n, byte && garbled}, text);
        first = false;
        if (bytes) {
            memcpy(rest.bytes + rest.length, text, length);
            rest.length += length;
        }
        if ((bytes ? write_characters(&rest, next == n, write, user) : write(user, text, length)) != 0)
            return rt_fail(err, RETORT_CANCELLED, "decode: stopped by its writer");
    }
    return RETORT_OK;
}
