/* SPDX-License-Identifier: Apache-2.0
 * Everything of a tokenizer.json but the vocabulary. A part that is not known is refused by its name. */
#include "text/state.h"

#include <string.h>

static retort_status check_version(const rt_component_reader *in, const json_t *settings) {
    const json_t *version = json_object_get(settings, "version");
    if (!json_is_object(settings)) return rt_fail(in->err, RETORT_FORMAT, "%s: not a JSON object", in->name);
    if (version != NULL && (!json_is_string(version) || strcmp(json_string_value(version), "1.0") != 0)) {
        const char *text = json_string_value(version);
        return rt_fail(in->err, RETORT_UNSUPPORTED, "%s: version \"%.64s\" is not supported, only 1.0",
                       in->name, text != NULL ? text : "none");
    }
    return RETORT_OK;
}

static retort_status read_model(const rt_component_reader *in, const json_t *part,
                                const rt_vocabulary *vocabulary) {
    rt_token_model *model = &in->tokenizer->model;
    retort_status status = rt_token_model_row_of(&model->row, in->name, part, in->err);
    if (status == RETORT_OK) status = model->row->read(in, part, vocabulary, model);
    if (status == RETORT_OK && in->tokenizer->pre_tokenizer.bytes && model->row != &rt_bpe_row) {
        return rt_fail(in->err, RETORT_UNSUPPORTED,
                       "%s: the pre_tokenizer ByteLevel is supported with BPE only", in->name);
    }
    in->tokenizer->info.unk = model->unknown;
    in->tokenizer->info.pieces = (int32_t)model->count;
    return status;
}

static retort_status read_components(const rt_component_reader *in, const json_t *settings,
                                     const rt_vocabulary *vocabulary) {
    rt_tokenizer *to = in->tokenizer;
    retort_status status =
        rt_pre_tokenizer_read(in, json_object_get(settings, "pre_tokenizer"), &to->pre_tokenizer);
    if (status == RETORT_OK)
        status = rt_normalizer_read(in, json_object_get(settings, "normalizer"), &to->normalizer);
    if (status == RETORT_OK) status = read_model(in, json_object_get(settings, "model"), vocabulary);
    if (status == RETORT_OK)
        status = rt_decoder_read(in, json_object_get(settings, "decoder"), &to->model, &to->decoder);
    if (status != RETORT_OK) return status;
    to->info.lowercase = to->normalizer.lower;
    to->split = rt_split_of(&to->pre_tokenizer, &to->model);
    if (rt_segmenter_open(&to->segmenter, &to->normalizer, &to->pre_tokenizer, &to->model)) return RETORT_OK;
    return rt_fail_nomem(in->err, sizeof to->segmenter);
}

/* ---- Tables ------------------------------------------------------------------------------------------- */

enum { TABLE_ALIGNMENT = 64 };
typedef struct block_header {
    char magic[8];
    uint64_t table, map; /* bytes */
    char zero[TABLE_ALIGNMENT - 24];
} block_header;
static const char MAGIC[8] = "retokens";

void rt_vocabulary_join(rt_buffer *block, const rt_buffer *table, const rt_buffer *map) {
    static const char zeros[TABLE_ALIGNMENT];
    block_header header = {.table = table->length, .map = map->length};
    if (table->length == 0 && map->length == 0) return;
    memcpy(header.magic, MAGIC, sizeof header.magic);
    rt_buffer_append(block, &header, sizeof header);
    rt_buffer_append(block, table->data, table->length);
    rt_buffer_append(block, zeros, rt_round_up(table->length, TABLE_ALIGNMENT) - table->length);
    rt_buffer_append(block, map->data, map->length);
}

retort_status rt_vocabulary_open(rt_vocabulary *vocabulary, const char *name, const void *block, size_t size,
                                 retort_error *err) {
    block_header header;
    const uint8_t *at = block;
    if (size == 0) return RETORT_OK;
    if (size >= sizeof header) {
        memcpy(&header, at, sizeof header);
        size_t left = size - sizeof header, table = rt_round_up(rt_min(header.table, left), TABLE_ALIGNMENT);
        if (memcmp(header.magic, MAGIC, sizeof header.magic) == 0 && header.table <= left && table <= left &&
            header.map == left - table) {
            vocabulary->block = block;
            vocabulary->block_size = size;
            vocabulary->table = at + sizeof header;
            vocabulary->table_size = (size_t)header.table;
            vocabulary->map = at + sizeof header + table;
            vocabulary->map_size = (size_t)header.map;
            return RETORT_OK;
        }
    }
    return rt_fail(err, RETORT_FORMAT, "%s: the tokenizer's tables, of %zu bytes, are damaged", name, size);
}

/* ---- Facts, and what is packed ------------------------------------------------------------------------ */

const char *const rt_special_keys[RT_SPECIALS] = {"unk_token", "sep_token", "pad_token", "cls_token",
                                                  "mask_token"};

static int32_t special_id(const rt_component_reader *in, const json_t *facts, rt_special special) {
    const char *text = json_string_value(json_object_get(facts, rt_special_keys[special]));
    if (text == NULL) text = in->tokenizer->model.row->special[special];
    return rt_tokenizer_id(in->tokenizer, text, strlen(text));
}

static void read_facts(const rt_component_reader *in, const json_t *facts) {
    rt_tokenizer_info *info = &in->tokenizer->info;
    info->cls = special_id(in, facts, RT_CLS);
    info->sep = special_id(in, facts, RT_SEP);
    info->pad = special_id(in, facts, RT_PAD);
    info->mask = special_id(in, facts, RT_MASK);
    info->max_length = json_integer_value(json_object_get(facts, "max_length"));
    info->cut_left = json_object_get(facts, "truncation_side") != NULL;
}

static retort_status keep_settings(const rt_component_reader *in, const json_t *settings) {
    static const char *const kept[] = {"version",        "added_tokens", "normalizer", "pre_tokenizer",
                                       "post_processor", "decoder",      "model",      "facts"};
    json_t *copy = json_object();
    bool fine = copy != NULL;
    for (size_t i = 0; i < sizeof kept / sizeof *kept && fine; i++) {
        json_t *value = json_object_get(settings, kept[i]);
        fine = value == NULL || json_object_set(copy, kept[i], value) == 0;
    }
    if (fine) in->tokenizer->settings = json_dumps(copy, JSON_COMPACT);
    json_decref(copy);
    return in->tokenizer->settings != NULL ? RETORT_OK
                                           : rt_fail(in->err, RETORT_NOMEM, "%s: out of memory", in->name);
}

static retort_status read_settings(const rt_component_reader *in, const json_t *settings,
                                   const rt_vocabulary *vocabulary) {
    rt_tokenizer *tokenizer = in->tokenizer;
    retort_status status = check_version(in, settings);
    if (status == RETORT_OK) status = read_components(in, settings, vocabulary);
    if (status == RETORT_OK) status = rt_added_read(in, json_object_get(settings, "added_tokens"));
    if (status != RETORT_OK) return status;
    const json_t *processor = json_object_get(settings, "post_processor");
    status = rt_post_processor_read(in, processor, &tokenizer->single, 1);
    if (status == RETORT_OK) status = rt_post_processor_read(in, processor, &tokenizer->pair, 2);
    if (status != RETORT_OK) return status;
    if (tokenizer->single.trim) tokenizer->segmenter.local = false; /* segments do not know of white space */
    read_facts(in, json_object_get(settings, "facts"));
    return keep_settings(in, settings);
}

retort_status rt_tokenizer_build(rt_tokenizer **out, const char *name, json_t *settings,
                                 const rt_vocabulary *vocabulary, retort_error *err) {
    rt_component_reader in = {.tokenizer = rt_calloc(1, sizeof *in.tokenizer), .name = name, .err = err};
    if (in.tokenizer == NULL) return rt_fail_nomem(err, sizeof *in.tokenizer);
    in.arena = &in.tokenizer->arena;
    in.map = vocabulary->map;
    in.map_size = vocabulary->map_size;
    in.tokenizer->block = vocabulary->block;
    in.tokenizer->block_size = vocabulary->block_size;
    retort_status status = read_settings(&in, settings, vocabulary);
    if (status == RETORT_OK) {
        *out = in.tokenizer;
    } else {
        rt_tokenizer_free(in.tokenizer);
    }
    return status;
}
