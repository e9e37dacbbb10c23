/* SPDX-License-Identifier: Apache-2.0
 * Sequence of pre-tokenizers: each cuts the words of the one before it. */
#include "text/component.h"

enum { MAX_PARTS = 64 };

typedef struct sequence {
    rt_pre_tokenizer *parts;
    size_t count;
} sequence;

static bool cut(const void *data, rt_cut_text *text) {
    const sequence *all = data;
    for (size_t i = 0; i < all->count; i++) {
        if (!rt_cut_words(&all->parts[i], text)) return false;
    }
    return true;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_pre_tokenizer *out) {
    const json_t *list = json_object_get(part, "pretokenizers");
    sequence *data = rt_arena_calloc(in->arena, 1, sizeof *data);
    if (!json_is_array(list) || json_array_size(list) > MAX_PARTS) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: pre_tokenizer: a Sequence must list 0 to %d pretokenizers", in->name, MAX_PARTS);
    }
    rt_pre_tokenizer *parts = rt_arena_calloc(in->arena, json_array_size(list), sizeof *parts);
    if (data == NULL || parts == NULL) return rt_fail_nomem(in->err, json_array_size(list) * sizeof *parts);
    *data = (sequence){parts, json_array_size(list)};
    out->data = data;
    for (size_t i = 0; i < data->count; i++) {
        if (out->bytes) {
            return rt_fail(in->err, RETORT_UNSUPPORTED,
                           "%s: pre_tokenizer: a Sequence goes on after ByteLevel, which is not supported",
                           in->name);
        }
        retort_status status = rt_pre_tokenizer_read(in, json_array_get(list, i), &parts[i]);
        if (status != RETORT_OK) return status;
        out->bytes = parts[i].bytes;
    }
    return RETORT_OK;
}

const rt_pre_tokenizer_row rt_pre_tokenizer_sequence_row = {
    .type = "Sequence", .read = read_part, .cut = cut};
