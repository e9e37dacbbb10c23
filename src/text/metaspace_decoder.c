/* SPDX-License-Identifier: Apache-2.0
 * From ids back to a text, as the Metaspace decoder of Hugging Face tokenizers 0.23.3 does it: marks become spaces, but
 * those of the first piece, where one was put in front. */
#include "text/metaspace.h"

#include "base/utf8.h"

#include <string.h>

static size_t run(const void *data, const char *piece, rt_piece_place place, char *out) {
    const rt_metaspace *metaspace = data;
    const uint8_t *at = (const uint8_t *)piece, *end = at + strlen(piece);
    size_t length = 0, taken;
    for (uint32_t point; at < end; at += taken) {
        taken = rt_utf8_take(at, end, &point);
        if (point != metaspace->mark) {
            memcpy(out + length, at, taken);
            length += taken;
        } else if (!place.first || metaspace->prepend == RT_PREPEND_NEVER) {
            out[length++] = ' ';
        }
    }
    return length;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_decoder *out) {
    retort_status status;
    out->data = rt_metaspace_read(in, part, "decoder", &status);
    return status;
}

const rt_decoder_row rt_metaspace_decoder_row = {.type = "Metaspace", .read = read_part, .run = run};
