/* SPDX-License-Identifier: Apache-2.0 */
#include "text/state.h"

#include "format/json.h"
#include "text/unicode.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rt_tokenizer_free(rt_tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    rt_vocab_close(&tokenizer->wordpiece.vocab);
    rt_names_free(&tokenizer->added_ids);
    free(tokenizer->ideographs);
    free(tokenizer->settings);
    rt_arena_free(&tokenizer->arena);
    free(tokenizer);
}

rt_tokenizer_info rt_tokenizer_describe(const rt_tokenizer *tokenizer) {
    return tokenizer->info;
}

void rt_tokenizer_warn(rt_tokenizer *tokenizer, const char *format, ...) {
    char text[sizeof(((retort_error *)NULL)->text)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (tokenizer->warning_count == RT_TOKENIZER_WARNINGS) return;
    const char *kept = rt_arena_text(&tokenizer->arena, text, strlen(text));
    if (kept != NULL) tokenizer->warnings[tokenizer->warning_count++] = kept;
}

const char *rt_tokenizer_warning(const rt_tokenizer *tokenizer, size_t index) {
    return index < tokenizer->warning_count ? tokenizer->warnings[index] : NULL;
}

const char *rt_tokenizer_piece(const rt_tokenizer *tokenizer, int32_t id) {
    const rt_vocab *vocab = &tokenizer->wordpiece.vocab;
    if (id >= 0 && (size_t)id < vocab->count) {
        return rt_vocab_length(vocab, (size_t)id) > 0 ? rt_vocab_piece(vocab, (size_t)id) : NULL;
    }
    return id >= 0 && id < tokenizer->info.pieces ? tokenizer->beyond[(size_t)id - vocab->count] : NULL;
}

int32_t rt_tokenizer_id(const rt_tokenizer *tokenizer, const char *piece, size_t length) {
    int32_t id = rt_vocab_id(&tokenizer->wordpiece.vocab, piece, length);
    return id >= 0 ? id : rt_names_find(&tokenizer->added_ids, piece, length);
}

retort_status rt_tokenizer_pack(const rt_tokenizer *tokenizer, char **vocab, size_t *vocab_size,
                                char **settings, retort_error *err) {
    const rt_vocab *from = &tokenizer->wordpiece.vocab;
    size_t size = from->starts[from->count];
    char *pieces = malloc(size + 1), *copy = strdup(tokenizer->settings);
    if (pieces == NULL || copy == NULL) {
        free(pieces);
        free(copy);
        return rt_fail_nomem(err, size);
    }
    memcpy(pieces, from->text, size);
    for (size_t id = 0; id < from->count; id++) pieces[from->starts[id + 1] - 1] = '\n';
    pieces[size] = '\0';
    *vocab = pieces;
    *vocab_size = size;
    *settings = copy;
    return RETORT_OK;
}

retort_status rt_tokenizer_unpack(rt_tokenizer **out, const char *name, const void *vocab, size_t vocab_size,
                                  const char *settings, retort_error *err) {
    json_t *root = NULL;
    retort_status status = rt_json_parse(&root, name, settings, strlen(settings), err);
    if (status == RETORT_OK) status = rt_tokenizer_build(out, name, root, vocab, vocab_size, err);
    json_decref(root);
    return status;
}
