/* SPDX-License-Identifier: Apache-2.0
 * TemplateProcessing: the file lists the special tokens and the places of the texts. */
#include "text/component.h"

#include <string.h>

enum { MAX_PARTS = 64 };

/* {"ids": [101], "tokens": ["[CLS]"]} */
static retort_status add_special(const rt_component_reader *in, rt_template *out, const json_t *token,
                                 int32_t type) {
    const json_t *texts = json_object_get(token, "tokens"), *ids = json_object_get(token, "ids");
    const json_t *pieces[MAX_PARTS], *stated[MAX_PARTS];
    size_t count = json_array_size(texts);
    if (count == 0 || count > MAX_PARTS || json_array_size(ids) != count) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: post_processor: a special token needs 1 to %d ids and tokens", in->name,
                       MAX_PARTS);
    }
    for (size_t i = 0; i < count; i++) {
        pieces[i] = json_array_get(texts, i);
        stated[i] = json_array_get(ids, i);
    }
    return rt_template_add_special(in, out, pieces, stated, count, type);
}

/* {"SpecialToken": {"id", "type_id"}} or {"Sequence": {"id": "A" or "B", "type_id"}} */
static retort_status read_item(const rt_component_reader *in, const json_t *tokens, rt_template *out,
                               const json_t *item) {
    const json_t *special = json_object_get(item, "SpecialToken"),
                 *sequence = json_object_get(item, "Sequence");
    const json_t *inside = special != NULL ? special : sequence, *type = json_object_get(inside, "type_id");
    const char *id = json_string_value(json_object_get(inside, "id"));
    json_int_t type_id = json_integer_value(type);
    if (id == NULL || !json_is_integer(type) || type_id < 0 || type_id > 1) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: post_processor: a part of a template is neither a "
                       "SpecialToken nor a Sequence with id and type_id 0 or 1",
                       in->name);
    }
    if (special != NULL) return add_special(in, out, json_object_get(tokens, id), (int32_t)type_id);
    if (strcmp(id, "A") != 0 && strcmp(id, "B") != 0) {
        return rt_fail(in->err, RETORT_FORMAT, "%s: post_processor: unknown sequence \"%s\"", in->name, id);
    }
    rt_template_add_text(out, id[0] == 'B', (int32_t)type_id);
    return RETORT_OK;
}

/* Each text must be there once, and the first before the second. */
static retort_status check_sequences(const rt_component_reader *in, const rt_template *template,
                                     int32_t texts) {
    int32_t next = 0;
    bool fine = true;
    for (size_t i = 0; i < template->count; i++) {
        if (template->parts[i].sequence < 0) continue;
        fine = fine && template->parts[i].sequence == next;
        next++;
    }
    if (fine && next == texts) return RETORT_OK;
    return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: post_processor: the template \"%s\" must have %s",
                   in->name, texts == 1 ? "single" : "pair",
                   texts == 1 ? "sequence A once and no B" : "A once, then B once");
}

static retort_status read_part(const rt_component_reader *in, const json_t *part, rt_template *out,
                               int32_t texts) {
    const json_t *items = json_object_get(part, texts == 1 ? "single" : "pair");
    const json_t *tokens = json_object_get(part, "special_tokens");
    size_t count = json_array_size(items);
    if (count == 0 || count > MAX_PARTS) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: post_processor: a template of %zu parts, 1 to %d are supported", in->name, count,
                       MAX_PARTS);
    }
    retort_status status = rt_template_start(in, out, count);
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        status = read_item(in, tokens, out, json_array_get(items, i));
    }
    return status == RETORT_OK ? check_sequences(in, out, texts) : status;
}

/* Special tokens that no template has may be gone. */
static bool renumber(json_t *part, const rt_selection *selection) {
    const char *name;
    json_t *token, *id;
    size_t i;
    json_object_foreach(json_object_get(part, "special_tokens"), name, token) {
        json_t *ids = json_object_get(token, "ids");
        json_array_foreach(ids, i, id) {
            json_t *other = json_integer(rt_selected(selection, json_integer_value(id)));
            if (json_array_set_new(ids, i, other) != 0) return false;
        }
    }
    return true;
}

const rt_post_processor_row rt_template_processing_row = {"TemplateProcessing", read_part, renumber};
