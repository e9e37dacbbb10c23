/* SPDX-License-Identifier: Apache-2.0
 * A vocab.json with a merges.txt, as transformers makes a RobertaTokenizer of it: the tokenizer.json that this saves. */
#include "text/checkpoint.h"

#include "base/utf8.h"

#include <string.h>

static bool has_piece(const void *vocab, const char *piece) {
    return json_object_get(vocab, piece) != NULL;
}

/* The lines of the file, but those that begin with "#version". */
static retort_status read_lines(json_t **out, const char *name, const char *text, size_t size,
                                retort_error *err) {
    *out = json_array();
    bool fine = *out != NULL;
    for (size_t at = 0, end; at < size && fine; at = end + 1) {
        const char *feed = memchr(text + at, '\n', size - at);
        end = feed != NULL ? (size_t)(feed - text) : size;
        size_t length = end - at - (end > at && text[end - 1] == '\r');
        if (length >= 8 && memcmp(text + at, "#version", 8) == 0) continue;
        size_t bad;
        if (!rt_utf8_valid((const uint8_t *)text + at, length, &bad) ||
            memchr(text + at, '\0', length) != NULL) {
            return rt_fail(err, RETORT_FORMAT, "%s: merges.txt: merge %zu is not valid UTF-8 text", name,
                           json_array_size(*out));
        }
        fine = json_array_append_new(*out, json_stringn(text + at, length)) == 0;
    }
    return fine ? RETORT_OK : rt_fail_nomem(err, size);
}

retort_status rt_merges_txt_settings(json_t **out, const char *name, json_t *config, json_t *vocab,
                                     const char *merges, size_t size, retort_error *err) {
    const rt_token_model_row *row = &rt_bpe_row;
    const json_t *prefix = json_object_get(config, "add_prefix_space"),
                 *trim = json_object_get(config, "trim_offsets");
    int spaced = json_is_true(prefix), trimmed = trim == NULL || json_is_true(trim);
    json_t *lines;
    retort_status status = read_lines(&lines, name, merges, size, err);
    if (status == RETORT_OK) {
        *out = json_pack("{s:s,s:o,s:n,s:{s:s,s:b,s:b},s:{s:s,s:[s],s:[s],s:b,s:b},s:{s:s},s:{s:s,s:O,s:O}}",
                         "version", "1.0", "added_tokens", rt_added_list(config, row, has_piece, vocab),
                         "normalizer", "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", spaced,
                         "trim_offsets", trimmed, "post_processor", "type", "RobertaProcessing", "cls",
                         rt_special_text(config, row, RT_CLS), "sep", rt_special_text(config, row, RT_SEP),
                         "trim_offsets", trimmed, "add_prefix_space", spaced, "decoder", "type", "ByteLevel",
                         "model", "type", "BPE", "vocab", vocab, "merges", lines);
        if (*out == NULL) status = rt_fail_nomem(err, size);
    }
    json_decref(lines);
    return status;
}
