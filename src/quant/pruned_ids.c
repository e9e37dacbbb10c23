/* SPDX-License-Identifier: Apache-2.0 */
#include "quant/pruned_ids.h"

#include <string.h>

enum { MIN_RANGE = 16, TOKENS = 64 };

static retort_status is_unused(const rt_tokenizer *tokenizer, int32_t id, bool *unused, retort_error *err) {
    static const char start[] = "[unused";
    const char *piece = rt_tokenizer_piece(tokenizer, id);
    *unused = piece != NULL && strncmp(piece, start, sizeof start - 1) == 0;
    if (!*unused) return RETORT_OK;
    int32_t ids[TOKENS];
    size_t count = 0;
    retort_text text = {.text = piece, .length = strlen(piece)};
    rt_encode_options options = {.max_length = TOKENS};
    retort_status status = rt_encode_ids(tokenizer, &text, &options, ids, TOKENS, &count, err);
    for (size_t i = 0; status == RETORT_OK && i < count; i++) *unused = *unused && ids[i] != id;
    return status;
}

static void add_range(rt_pruned_ids *out, int32_t first, int32_t end) {
    if (end - first < MIN_RANGE || out->count == RT_MAX_PRUNED_RANGES) return;
    out->pruned[2 * out->count] = first;
    out->pruned[2 * out->count + 1] = end - first;
    out->count++;
}

retort_status rt_pruned_ids_find(rt_pruned_ids *out, const rt_tokenizer *tokenizer, retort_error *err) {
    int32_t pieces = tokenizer != NULL ? rt_tokenizer_describe(tokenizer).pieces : 0, first = 1;
    retort_status status = RETORT_OK;
    *out = (rt_pruned_ids){0};
    for (int32_t id = 1; status == RETORT_OK && id <= pieces; id++) {
        bool unused = false;
        if (id < pieces) status = is_unused(tokenizer, id, &unused, err);
        if (unused) continue;
        add_range(out, first, id);
        first = id + 1;
    }
    return status;
}
