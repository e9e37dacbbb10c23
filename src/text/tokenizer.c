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
    const rt_token_model_row *row = tokenizer->model.row;
    if (row != NULL && row->close != NULL) row->close(tokenizer->model.data);
    rt_names_free(&tokenizer->added.ids);
    rt_segmenter_close(&tokenizer->segmenter);
    free(tokenizer->settings);
    free(tokenizer->own_block);
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

void rt_count_tokens(rt_token_count *count, const rt_tokenizer *tokenizer, const int32_t *ids, size_t n) {
    if (tokenizer == NULL) return;
    const rt_tokenizer_info *info = &tokenizer->info;
    for (size_t i = 0; i < n; i++) {
        count->tokens += ids[i] != info->cls && ids[i] != info->sep && ids[i] != info->pad;
        count->unknown += info->unk >= 0 && ids[i] == info->unk;
    }
}

bool rt_many_unknown(const rt_token_count *count) {
    return count->unknown > count->tokens / 10;
}

bool rt_tokenizer_is_special(const rt_tokenizer *tokenizer, int32_t id) {
    const rt_tokenizer_info *info = &tokenizer->info;
    if (id < 0 || id >= info->pieces) return false;
    return tokenizer->added.special[id] || id == info->unk || id == info->cls || id == info->sep ||
           id == info->pad || id == info->mask;
}

const char *rt_tokenizer_piece(const rt_tokenizer *tokenizer, int32_t id) {
    const rt_token_model *model = &tokenizer->model;
    if (id >= 0 && (size_t)id < model->count) {
        size_t length;
        const char *piece = rt_token_model_piece(model, (size_t)id, &length);
        return length > 0 ? piece : NULL;
    }
    return id >= 0 && id < tokenizer->info.pieces ? tokenizer->added.beyond[(size_t)id - model->count] : NULL;
}

int32_t rt_tokenizer_id(const rt_tokenizer *tokenizer, const char *piece, size_t length) {
    int32_t id = rt_token_model_find(&tokenizer->model, piece, length);
    return id >= 0 ? id : rt_names_find(&tokenizer->added.ids, piece, length);
}

retort_status rt_tokenizer_pack(const rt_tokenizer *tokenizer, rt_packed_tokenizer *out, retort_error *err) {
    const rt_token_model *model = &tokenizer->model;
    rt_buffer pieces = {0};
    *out = (rt_packed_tokenizer){.settings = tokenizer->settings};
    for (size_t id = 0; !model->row->pieces_in_table && id < model->count; id++) {
        size_t length;
        const char *piece = rt_token_model_piece(model, id, &length);
        rt_buffer_append(&pieces, piece, length);
        rt_buffer_append(&pieces, "\n", 1);
    }
    rt_buffer_append(&pieces, "", 0); /* without pieces it has data, too */
    if (pieces.failed) {
        rt_buffer_free(&pieces);
        return rt_fail_nomem(err, pieces.length);
    }
    out->vocab = pieces.data;
    out->vocab_size = pieces.length;
    out->table = tokenizer->block;
    out->table_size = tokenizer->block_size;
    return RETORT_OK;
}

void rt_packed_tokenizer_free(rt_packed_tokenizer *packed) {
    free((char *)packed->vocab);
    *packed = (rt_packed_tokenizer){0};
}

retort_status rt_tokenizer_unpack(rt_tokenizer **out, const char *name, const rt_packed_tokenizer *packed,
                                  retort_error *err) {
    json_t *root = NULL;
    rt_vocabulary vocabulary = {.pieces = packed->vocab, .size = packed->vocab_size};
    retort_status status = rt_vocabulary_open(&vocabulary, name, packed->table, packed->table_size, err);
    if (status == RETORT_OK)
        status = rt_json_parse(&root, name, packed->settings, strlen(packed->settings), err);
    if (status == RETORT_OK) status = rt_tokenizer_build(out, name, root, &vocabulary, err);
    json_decref(root);
    return status;
}
