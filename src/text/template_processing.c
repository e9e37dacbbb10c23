/* SPDX-License-Identifier: Apache-2.0
 * Post-processors of a tokenizer.json: what is put around a text. */
#include "text/state.h"

#include <string.h>

enum { MAX_PARTS = 64 };

/* Where a template is being read: the names for errors, and where its special tokens are defined. */
typedef struct reader {
    rt_tokenizer *tokenizer;
    const char *name;
    const json_t *tokens; /* TemplateProcessing: "special_tokens" */
    retort_error *err;
} reader;

static retort_status no_memory(const reader *in) {
    return rt_fail_nomem(in->err, MAX_PARTS * sizeof(int32_t));
}

/* A special token must be what the vocabulary says. */
static retort_status check_token(const reader *in, const json_t *text, const json_t *id, int32_t *out) {
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

/* A part for `count` special tokens, whose ids are to be filled in; NULL when out of memory. */
static rt_template_part *add_special(const reader *in, rt_template *out, size_t count, int32_t type) {
    rt_template_part *part = &out->parts[out->count++];
    *part =
        (rt_template_part){-1, type, rt_arena_calloc(&in->tokenizer->arena, count, sizeof(int32_t)), count};
    out->special += count;
    return part->ids != NULL ? part : NULL;
}

/* {"ids": [101], "tokens": ["[CLS]"]} */
static retort_status add_template_token(const reader *in, rt_template *out, const json_t *token,
                                        int32_t type) {
    const json_t *texts = json_object_get(token, "tokens"), *ids = json_object_get(token, "ids");
    size_t count = json_array_size(texts);
    if (count == 0 || count > MAX_PARTS || json_array_size(ids) != count) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: post_processor: a special token needs 1 to %d ids and tokens", in->name,
                       MAX_PARTS);
    }
    rt_template_part *part = add_special(in, out, count, type);
    retort_status status = part == NULL ? no_memory(in) : RETORT_OK;
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        status = check_token(in, json_array_get(texts, i), json_array_get(ids, i), &part->ids[i]);
    }
    return status;
}

/* ["[CLS]", 101]; without an id the vocabulary's is taken. */
static retort_status add_bert_token(const reader *in, rt_template *out, const json_t *token, int32_t type) {
    rt_template_part *part = add_special(in, out, 1, type);
    if (part == NULL) return no_memory(in);
    return check_token(in, json_array_get(token, 0), json_array_get(token, 1), &part->ids[0]);
}

static void add_sequence(rt_template *out, int32_t sequence, int32_t type) {
    out->parts[out->count++] = (rt_template_part){sequence, type, NULL, 0};
}

static bool start_template(const reader *in, rt_template *out, size_t parts) {
    *out = (rt_template){.parts = rt_arena_calloc(&in->tokenizer->arena, parts, sizeof *out->parts)};
    return out->parts != NULL;
}

/* {"SpecialToken": {"id", "type_id"}} or {"Sequence": {"id": "A" or "B", "type_id"}} */
static retort_status read_part(const reader *in, rt_template *out, const json_t *item) {
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
    if (special != NULL) {
        return add_template_token(in, out, json_object_get(in->tokens, id), (int32_t)type_id);
    }
    if (strcmp(id, "A") != 0 && strcmp(id, "B") != 0) {
        return rt_fail(in->err, RETORT_FORMAT, "%s: post_processor: unknown sequence \"%s\"", in->name, id);
    }
    add_sequence(out, id[0] == 'B', (int32_t)type_id);
    return RETORT_OK;
}

/* Each text must be there once, and the first before the second. */
static retort_status check_sequences(const reader *in, const rt_template *template, int32_t texts) {
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

static retort_status read_template(const reader *in, rt_template *out, const json_t *items, int32_t texts) {
    size_t count = json_array_size(items);
    if (count == 0 || count > MAX_PARTS) {
        return rt_fail(in->err, RETORT_FORMAT,
                       "%s: post_processor: a template of %zu parts, 1 to %d are supported", in->name, count,
                       MAX_PARTS);
    }
    if (!start_template(in, out, count)) return no_memory(in);
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < count && status == RETORT_OK; i++) {
        status = read_part(in, out, json_array_get(items, i));
    }
    return status == RETORT_OK ? check_sequences(in, out, texts) : status;
}

static retort_status read_templates(const reader *in, const json_t *processor) {
    rt_tokenizer *tokenizer = in->tokenizer;
    retort_status status = read_template(in, &tokenizer->single, json_object_get(processor, "single"), 1);
    if (status != RETORT_OK) return status;
    return read_template(in, &tokenizer->pair, json_object_get(processor, "pair"), 2);
}

/* [CLS] A [SEP], and [CLS] A [SEP] B [SEP] with type 1 from B on. */
static retort_status read_bert(const reader *in, const json_t *processor, rt_template *out, int32_t texts) {
    const json_t *cls = json_object_get(processor, "cls"), *sep = json_object_get(processor, "sep");
    if (!start_template(in, out, 5)) return no_memory(in);
    retort_status status = add_bert_token(in, out, cls, 0);
    for (int32_t text = 0; text < texts && status == RETORT_OK; text++) {
        add_sequence(out, text, text);
        status = add_bert_token(in, out, sep, text);
    }
    return status;
}

static retort_status read_nothing(const reader *in) {
    rt_tokenizer *tokenizer = in->tokenizer;
    if (!start_template(in, &tokenizer->single, 1) || !start_template(in, &tokenizer->pair, 2))
        return no_memory(in);
    add_sequence(&tokenizer->single, 0, 0);
    add_sequence(&tokenizer->pair, 0, 0);
    add_sequence(&tokenizer->pair, 1, 1);
    return RETORT_OK;
}

retort_status rt_template_read(rt_tokenizer *tokenizer, const char *name, const json_t *processor,
                               retort_error *err) {
    reader in = {tokenizer, name, json_object_get(processor, "special_tokens"), err};
    if (processor == NULL || json_is_null(processor)) return read_nothing(&in);
    const char *type = json_string_value(json_object_get(processor, "type"));
    if (type != NULL && strcmp(type, "TemplateProcessing") == 0) return read_templates(&in, processor);
    if (type == NULL || strcmp(type, "BertProcessing") != 0) {
        return rt_fail(err, RETORT_UNSUPPORTED,
                       "%s: post_processor \"%s\" is not supported, only TemplateProcessing "
                       "and BertProcessing",
                       name, type != NULL ? type : "without type");
    }
    retort_status status = read_bert(&in, processor, &tokenizer->single, 1);
    return status == RETORT_OK ? read_bert(&in, processor, &tokenizer->pair, 2) : status;
}
