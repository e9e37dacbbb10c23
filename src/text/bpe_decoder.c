/* SPDX-License-Identifier: Apache-2.0
 * The BPE decoder: what ends a word becomes a space, and nothing at the end of the text. */
#include "text/component.h"

#include <string.h>

static size_t run(const void *data, const char *piece, rt_piece_place place, char *out) {
    const char *suffix = data;
    size_t skip = strlen(suffix), length = 0;
    while (*piece != '\0') {
        if (strncmp(piece, suffix, skip) != 0) {
            out[length++] = *piece++;
            continue;
        }
        if (!place.last) out[length++] = ' ';
        piece += skip;
    }
    return length;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_decoder *out) {
    const json_t *stated = json_object_get(part, "suffix");
    const char *suffix = stated == NULL ? "</w>" : json_string_value(stated);
    if (suffix == NULL || *suffix == '\0')
        return rt_fail(in->err, RETORT_FORMAT, "%s: decoder: the suffix of BPEDecoder is no string, or empty",
                       in->name);
    out->data = rt_arena_text(in->arena, suffix, strlen(suffix));
    return out->data != NULL ? RETORT_OK : rt_fail_nomem(in->err, strlen(suffix));
}

const rt_decoder_row rt_bpe_decoder_row = {.type = "BPEDecoder", .read = read_part, .run = run};
