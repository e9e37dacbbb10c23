/* SPDX-License-Identifier: Apache-2.0
 * Decoders of SentencePiece's BPE (Llama 2, Gemma): Replace, ByteFallback, Fuse and Strip, alone or in a Sequence in this order, as
 * Hugging Face tokenizers 0.23.3 applies them. Others orders would need pieces that are not here yet, or no longer. */
#include "text/component.h"

#include <string.h>

enum { MOST_REPLACED = 4 };

typedef struct replacement {
    const char *pattern, *content; /* the content is no longer than the pattern */
} replacement;

typedef struct chain {
    replacement replaced[MOST_REPLACED];
    size_t count;
    bool bytes,
        fused; /* pieces like <0x0A> are bytes; what is stripped are the text's ends, not each piece's */
    const char *strip; /* a character, or NULL */
    int64_t start, stop;
} chain;

static size_t replace(const replacement *r, char *text, size_t length) {
    size_t pattern = strlen(r->pattern), content = strlen(r->content), to = 0;
    for (size_t at = 0; at < length;) {
        if (length - at >= pattern && memcmp(text + at, r->pattern, pattern) == 0) {
            memcpy(text + to, r->content, content);
            to += content;
            at += pattern;
        } else {
            text[to++] = text[at++];
        }
    }
    return to;
}

/* Without up to `start` characters at the beginning and `stop` at the end. */
static size_t strip(const chain *c, int64_t start, int64_t stop, char *text, size_t length) {
    size_t one = strlen(c->strip), from = 0;
    for (; start > 0 && length - from >= one && memcmp(text + from, c->strip, one) == 0; start--) from += one;
    for (; stop > 0 && length - from >= one && memcmp(text + length - one, c->strip, one) == 0; stop--)
        length -= one;
    memmove(text, text + from, length - from);
    return length - from;
}

static size_t run(const void *data, const char *piece, rt_piece_place place, char *out) {
    const chain *c = data;
    size_t length = 0;
    for (; piece[length] != '\0'; length++) out[length] = piece[length];
    for (size_t i = 0; i < c->count; i++) length = replace(&c->replaced[i], out, length);
    int byte = c->bytes ? rt_byte_of_piece(piece) : -1;
    if (byte >= 0) {
        static const char unknown[] = {'\xEF', '\xBF', '\xBD'}; /* U+FFFD */
        memcpy(out, unknown, sizeof unknown);
        length = place.garbled ? sizeof unknown : 1;
        if (!place.garbled) out[0] = (char)byte;
    }
    if (c->strip == NULL || (c->fused && !place.first)) return length;
    return strip(c, c->start, c->fused ? 0 : c->stop, out, length);
}

int rt_byte_of_piece(const char *piece) {
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    int byte = 0;
    if (strlen(piece) != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        const char *digit = strchr(digits, piece[i]);
        if (digit == NULL) return -1;
        byte = 16 * byte + (int)((digit - digits) % 16);
    }
    return byte;
}

/* ---- Reading ---- */

static retort_status refuse(const rt_component_reader *in, const char *what) {
    return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: decoder: %s", in->name, what);
}

static retort_status copy(const rt_component_reader *in, const char *text, const char **out) {
    *out = rt_arena_text(in->arena, text, strlen(text));
    return *out != NULL ? RETORT_OK : rt_fail_nomem(in->err, strlen(text));
}

static retort_status read_replace(const rt_component_reader *in, const json_t *part, chain *c) {
    const char *pattern = json_string_value(json_object_get(json_object_get(part, "pattern"), "String")),
               *content = json_string_value(json_object_get(part, "content"));
    if (pattern == NULL || content == NULL || *pattern == '\0' || strlen(content) > strlen(pattern))
        return refuse(in, "Replace is read of a String by one that is no longer");
    if (c->bytes || c->fused || c->strip != NULL || c->count == MOST_REPLACED)
        return refuse(in, "Replace is read first, and up to four times");
    retort_status status = copy(in, pattern, &c->replaced[c->count].pattern);
    if (status == RETORT_OK) status = copy(in, content, &c->replaced[c->count++].content);
    return status;
}

static retort_status read_fallback(const rt_component_reader *in, const json_t *part, chain *c) {
    (void)part;
    if (c->bytes || c->fused || c->strip != NULL)
        return refuse(in, "ByteFallback is read before Fuse and Strip");
    c->bytes = true;
    return RETORT_OK;
}

static retort_status read_fuse(const rt_component_reader *in, const json_t *part, chain *c) {
    (void)part;
    if (c->strip != NULL) return refuse(in, "Fuse is read before Strip");
    c->fused = true;
    return RETORT_OK;
}

/* Of a fused text, the second piece may not be needed to know what is stripped of it. */
static retort_status read_strip(const rt_component_reader *in, const json_t *part, chain *c) {
    const json_t *content = json_object_get(part, "content"), *start = json_object_get(part, "start"),
                 *stop = json_object_get(part, "stop");
    const char *text = json_string_value(content);
    if (text == NULL || *text == '\0' || json_string_length(content) > 4 || !json_is_integer(start) ||
        !json_is_integer(stop) || json_integer_value(start) < 0 || json_integer_value(stop) < 0)
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: decoder: Strip without a character and how many at start and stop", in->name);
    c->start = json_integer_value(start);
    c->stop = json_integer_value(stop);
    if (c->strip != NULL || (c->bytes && !c->fused) || (c->fused && (c->start > 1 || c->stop > 0)))
        return refuse(in, "Strip is read once, and behind Fuse of one character at the start");
    return copy(in, text, &c->strip);
}

static const struct {
    const char *type;
    retort_status (*read)(const rt_component_reader *in, const json_t *part, chain *c);
} parts[] = {
    {"Replace", read_replace}, {"ByteFallback", read_fallback}, {"Fuse", read_fuse}, {"Strip", read_strip}};

static retort_status add_part(const rt_component_reader *in, const json_t *part, chain *c) {
    const char *type = json_string_value(json_object_get(part, "type"));
    for (size_t i = 0; type != NULL && i < sizeof parts / sizeof *parts; i++) {
        if (strcmp(type, parts[i].type) == 0) return parts[i].read(in, part, c);
    }
    return rt_fail(
        in->err, RETORT_UNSUPPORTED,
        "%s: decoder \"%.64s\" in a Sequence is not supported, only Replace, ByteFallback, Fuse, Strip",
        in->name, type != NULL ? type : "(no text)");
}

static retort_status read_one(const rt_component_reader *in, const json_t *part, rt_decoder *out) {
    chain *c = rt_arena_calloc(in->arena, 1, sizeof *c);
    out->data = c;
    return c != NULL ? add_part(in, part, c) : rt_fail_nomem(in->err, sizeof *c);
}

static retort_status read_sequence(const rt_component_reader *in, const json_t *part, rt_decoder *out) {
    const json_t *list = json_object_get(part, "decoders");
    chain *c = rt_arena_calloc(in->arena, 1, sizeof *c);
    out->data = c;
    if (c == NULL) return rt_fail_nomem(in->err, sizeof *c);
    if (!json_is_array(list))
        return rt_fail(in->err, RETORT_FORMAT, "%s: decoder: a Sequence must list decoders", in->name);
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < json_array_size(list) && status == RETORT_OK; i++)
        status = add_part(in, json_array_get(list, i), c);
    return status;
}

#define ROW(name, function)                                                                                  \
    { .type = (name), .read = (function), .run = run, .bytes = true, .fallback = true }
const rt_decoder_row rt_decoder_sequence_row = ROW("Sequence", read_sequence),
                     rt_replace_decoder_row = ROW("Replace", read_one),
                     rt_byte_fallback_decoder_row = ROW("ByteFallback", read_one),
                     rt_fuse_decoder_row = ROW("Fuse", read_one),
                     rt_strip_decoder_row = ROW("Strip", read_one);
