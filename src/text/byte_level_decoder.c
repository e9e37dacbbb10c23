/* SPDX-License-Identifier: Apache-2.0
 * The ByteLevel decoder: from spelled characters back to bytes. A piece with a character that spells none stays. */
#include "text/byte_level.h"
#include "base/utf8.h"

#include <string.h>

static size_t run(const void *data, const char *piece, rt_piece_place place, char *out) {
    const uint8_t *text = (const uint8_t *)piece;
    size_t size = strlen(piece), length = 0;
    (void)data;
    (void)place;
    for (size_t at = 0; at < size;) {
        uint32_t point;
        at += rt_utf8_take(text + at, text + size, &point);
        int byte = rt_byte_of_spelling(point);
        if (byte < 0) {
            for (size_t i = 0; i < size; i++) out[i] = piece[i];
            return size;
        }
        out[length++] = (char)byte;
    }
    return length;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_decoder *out) {
    (void)in;
    (void)part;
    (void)out;
    return RETORT_OK;
}

const rt_decoder_row rt_byte_level_decoder_row = {
    .type = "ByteLevel", .read = read_part, .run = run, .bytes = true};
