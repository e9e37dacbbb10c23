/* SPDX-License-Identifier: Apache-2.0
 * From ids back to a text, as the WordPiece decoder of Hugging Face tokenizers 0.23.3 does it
 * (tokenizers/src/decoders/wordpiece.rs): pieces with a space before each that does not go on within a word,
 * then the spaces go that English does not have before punctuation and in contractions. */
#include "text/component.h"

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

typedef struct wordpiece_decoder {
    const char *prefix; /* of pieces that go on within a word; "": all do */
    bool cleanup;
} wordpiece_decoder;

/* What a piece adds to the text, in `out`; its length. */
static size_t run(const void *data, const char *piece, rt_piece_place place, char *out) {
    const wordpiece_decoder *decoder = data;
    size_t prefix = strlen(decoder->prefix), length = 0;
    bool within = strncmp(piece, decoder->prefix, prefix) == 0;
    if (!place.first && within) {
        piece += prefix;
    } else if (!place.first) {
        out[length++] = ' ';
    }
    while (*piece != '\0') out[length++] = *piece++;
    for (size_t i = 0; decoder->cleanup && i < sizeof cleanups / sizeof *cleanups; i++) {
        length = replace(out, length, cleanups[i].from, cleanups[i].to);
    }
    return length;
}

/* `part` NULL: what BertTokenizer of transformers has. */
static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_decoder *out) {
    const json_t *stated = json_object_get(part, "prefix");
    const char *prefix = stated == NULL ? "##" : json_string_value(stated);
    wordpiece_decoder *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    if (data == NULL) return rt_fail_nomem(in->err, sizeof *data);
    if (prefix == NULL)
        return rt_fail(in->err, RETORT_FORMAT, "%s: decoder: prefix is not a string", in->name);
    data->prefix = rt_arena_text(in->arena, prefix, strlen(prefix));
    if (data->prefix == NULL) return rt_fail_nomem(in->err, strlen(prefix));
    out->data = data;
    return rt_component_flag(in, part, "cleanup", true, &data->cleanup);
}

const rt_decoder_row rt_wordpiece_decoder_row = {.type = "WordPiece", .read = read_part, .run = run};
