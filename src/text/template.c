/* SPDX-License-Identifier: Apache-2.0 */
#include "text/component.h"

#include <string.h>

retort_status rt_template_start(const rt_component_reader *in, rt_template *out, size_t parts) {
    *out = (rt_template){.parts = rt_arena_calloc(in->arena, parts, sizeof *out->parts)};
    return out->parts != NULL ? RETORT_OK : rt_fail_nomem(in->err, parts * sizeof *out->parts);
}

retort_status rt_template_of_texts(const rt_component_reader *in, rt_template *out, int32_t texts) {
    retort_status status = rt_template_start(in, out, (size_t)texts);
    for (int32_t text = 0; text < texts && status == RETORT_OK; text++) rt_template_add_text(out, text, text);
    out->bare = true;
    return status;
}

retort_status rt_template_read_trim(const rt_component_reader *in, const json_t *part, rt_template *out) {
    retort_status status = rt_component_flag(in, part, "trim_offsets", true, &out->trim);
    return status == RETORT_OK ? rt_component_flag(in, part, "add_prefix_space", true, &out->keep_prefix)
                               : status;
}

void rt_template_add_text(rt_template *out, int32_t sequence, int32_t type) {
    out->parts[out->count++] = (rt_template_part){sequence, type, NULL, 0};
}

static retort_status find_token(const rt_component_reader *in, const json_t *text, const json_t *id,
                                int32_t *out) {
    const char *piece = json_string_value(text);
    if (piece == NULL)
        return rt_fail(in->err, RETORT_FORMAT, "%s: post_processor: a token is not a string", in->name);
    *out = rt_tokenizer_id(in->tokenizer, piece, strlen(piece));
    if (*out < 0) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: the vocabulary has no \"%s\", which the post_processor adds", in->name, piece);
    }
    if (id == NULL || json_integer_value(id) == *out) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT,
                   "%s: post_processor: \"%s\" has id %lld there and %d in the vocabulary", in->name, piece,
                   (long long)json_integer_value(id), *out);
}

retort_status rt_template_add_special(const rt_component_reader *in, rt_template *out,
                                      const json_t *const *tokens, const json_t *const *ids, size_t count,
                                      int32_t type) {
    int32_t *found = rt_arena_calloc(in->arena, count, sizeof *found);
    if (found == NULL) return rt_fail_nomem(in->err, count * sizeof *found);
    out->parts[out->count++] = (rt_template_part){-1, type, found, count};
    out->special += count;
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        status = find_token(in, tokens[i], ids[i], &found[i]);
    }
    return status;
}

bool rt_template_renumber(json_t *part, const char *key, const rt_selection *selection) {
    json_t *token = json_object_get(part, key), *id = json_array_get(token, 1);
    return id == NULL ||
           json_array_set_new(token, 1, json_integer(rt_selected(selection, json_integer_value(id)))) == 0;
}

bool rt_template_renumber_ends(json_t *part, const rt_selection *selection) {
    return rt_template_renumber(part, "cls", selection) && rt_template_renumber(part, "sep", selection);
}
