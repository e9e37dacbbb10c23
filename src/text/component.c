/* SPDX-License-Identifier: Apache-2.0
 * The tables of components, and how a part of a tokenizer.json finds its row. */
#include "text/component.h"

#include "text/split.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rows of one kind of component, ended by NULL. Each begins with its type. */
typedef struct row_table {
    const char *component;
    const void *rows[16];
} row_table;

static const row_table normalizers = {"normalizer",
                                      {&rt_bert_normalizer_row, &rt_lowercase_row, &rt_nfc_row, &rt_nfd_row,
                                       &rt_nfkc_row, &rt_nfkd_row, &rt_nmt_row, &rt_precompiled_row,
                                       &rt_prepend_row, &rt_replace_row, &rt_normalizer_sequence_row,
                                       &rt_strip_row, &rt_strip_accents_row}};
static const row_table pre_tokenizers = {
    "pre_tokenizer",
    {&rt_bert_pre_tokenizer_row, &rt_byte_level_row, &rt_digits_row, &rt_metaspace_row, &rt_punctuation_row,
     &rt_pre_tokenizer_sequence_row, &rt_split_row, &rt_whitespace_row, &rt_whitespace_split_row}};
static const row_table models = {"model", {&rt_bpe_row, &rt_unigram_row, &rt_wordpiece_row}};
static const row_table post_processors = {"post_processor",
                                          {&rt_bert_processing_row, &rt_byte_level_processing_row,
                                           &rt_roberta_processing_row, &rt_post_processor_sequence_row,
                                           &rt_template_processing_row}};
static const row_table decoders = {
    "decoder",
    {&rt_bpe_decoder_row, &rt_byte_fallback_decoder_row, &rt_byte_level_decoder_row, &rt_fuse_decoder_row,
     &rt_metaspace_decoder_row, &rt_replace_decoder_row, &rt_decoder_sequence_row, &rt_strip_decoder_row,
     &rt_wordpiece_decoder_row}};

static const char *type_of(const void *row) {
    return *(const char *const *)row;
}

const char *rt_component_type(size_t index, const char **part) {
    static const row_table *const tables[] = {&normalizers, &pre_tokenizers, &models, &post_processors,
                                              &decoders};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        *part = tables[t]->component;
        for (size_t i = 0; tables[t]->rows[i] != NULL; i++) {
            if (index-- == 0) return type_of(tables[t]->rows[i]);
        }
    }
    return NULL;
}

static bool is_none(const json_t *part) {
    return part == NULL || json_is_null(part);
}

static retort_status find_row(const void **row, const row_table *table, const char *name, const json_t *part,
                              retort_error *err) {
    const char *type = json_string_value(json_object_get(part, "type"));
    char known[512];
    size_t at = 0;
    for (size_t i = 0; table->rows[i] != NULL; i++) {
        *row = table->rows[i];
        if (type != NULL && strcmp(type_of(*row), type) == 0) return RETORT_OK;
        at += (size_t)snprintf(known + at, sizeof known - at, "%s%s", i == 0 ? "" : ", ", type_of(*row));
        at = rt_min(at, sizeof known - 1);
    }
    return rt_fail(err, RETORT_UNSUPPORTED, "%s: %s \"%.64s\" is not supported, only %s", name,
                   table->component, type != NULL ? type : "none", known);
}

void rt_normalized_free(rt_normalized *normalized) {
    free(normalized->points);
    free(normalized->bytes);
    free(normalized->spare);
    free(normalized->other);
    *normalized = (rt_normalized){0};
}

bool rt_normalized_reserve(rt_normalized *normalized, size_t points, size_t bytes) {
    return rt_grow((void **)&normalized->points, &normalized->point_capacity, points + 1,
                   sizeof *normalized->points) &&
           rt_grow((void **)&normalized->bytes, &normalized->byte_capacity, bytes + RT_HASH_MARGIN, 1);
}

void rt_tokens_free(rt_tokens *tokens) {
    rt_normalized_free(&tokens->cut.text);
    rt_normalized_free(&tokens->cut.spare_text);
    free(tokens->cut.words.data);
    free(tokens->cut.spare_words.data);
    free(tokens->work);
    free(tokens->data);
    *tokens = (rt_tokens){0};
}

retort_status rt_component_flag(const rt_component_reader *in, const json_t *part, const char *key,
                                bool missing, bool *out) {
    const json_t *value = json_object_get(part, key);
    *out = is_none(value) ? missing : json_is_true(value);
    if (is_none(value) || json_is_boolean(value)) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: \"%s\" is neither true nor false", in->name, key);
}

/* Without a normalizer characters stay as they are: BERT's with nothing switched on. */
retort_status rt_normalizer_read(const rt_component_reader *in, const json_t *part, rt_normalizer *out) {
    const void *row = &rt_bert_normalizer_row;
    retort_status status = is_none(part) ? RETORT_OK : find_row(&row, &normalizers, in->name, part, in->err);
    if (status != RETORT_OK) return status;
    *out = (rt_normalizer){.row = row};
    return out->row->read != NULL ? out->row->read(in, is_none(part) ? NULL : part, out) : RETORT_OK;
}

retort_status rt_normalizer_take(const char *name, json_t *part, rt_buffer *map, retort_error *err) {
    const void *found;
    retort_status status = is_none(part) ? RETORT_OK : find_row(&found, &normalizers, name, part, err);
    if (status != RETORT_OK || is_none(part)) return status;
    const rt_normalizer_row *row = found;
    return row->take != NULL ? row->take(name, part, map, err) : RETORT_OK;
}

/* Without a pre-tokenizer a text is one word. */
static bool next_whole(const void *data, const rt_normalized *text, size_t *at, size_t to, rt_word *word) {
    (void)data;
    (void)text;
    *word = (rt_word){*at, to};
    *at = to;
    return word->to > word->from;
}
static const rt_pre_tokenizer_row no_pre_tokenizer_row = {.type = "null", .next = next_whole};

retort_status rt_pre_tokenizer_read(const rt_component_reader *in, const json_t *part,
                                    rt_pre_tokenizer *out) {
    const void *row = &no_pre_tokenizer_row;
    retort_status status =
        is_none(part) ? RETORT_OK : find_row(&row, &pre_tokenizers, in->name, part, in->err);
    if (status != RETORT_OK) return status;
    *out = (rt_pre_tokenizer){.row = row};
    return out->row->read != NULL ? out->row->read(in, part, out) : RETORT_OK;
}

/* Files of tokenizers before 0.9 do not name the type: with such a prefix it was WordPiece. */
retort_status rt_token_model_row_of(const rt_token_model_row **row, const char *name, const json_t *part,
                                    retort_error *err) {
    const void *found = &rt_wordpiece_row;
    bool old = json_object_get(part, "type") == NULL &&
               json_is_string(json_object_get(part, "continuing_subword_prefix"));
    retort_status status = old ? RETORT_OK : find_row(&found, &models, name, part, err);
    if (status == RETORT_OK) *row = found;
    return status;
}

retort_status rt_post_processor_read(const rt_component_reader *in, const json_t *part, rt_template *out,
                                     int32_t texts) {
    const void *found;
    if (is_none(part)) return rt_template_of_texts(in, out, texts);
    retort_status status = find_row(&found, &post_processors, in->name, part, in->err);
    if (status != RETORT_OK) return status;
    const rt_post_processor_row *row = found;
    return row->read(in, part, out, texts);
}

bool rt_post_processor_renumber(json_t *part, const rt_selection *selection) {
    const void *found;
    if (is_none(part) || find_row(&found, &post_processors, "", part, NULL) != RETORT_OK) return true;
    const rt_post_processor_row *row = found;
    return row->renumber == NULL || row->renumber(part, selection);
}

/* Absent: what the model usually has. null: none. */
retort_status rt_decoder_read(const rt_component_reader *in, const json_t *part, const rt_token_model *model,
                              rt_decoder *out) {
    const void *row = model->row->decoder;
    *out = (rt_decoder){0};
    if (json_is_null(part)) return RETORT_OK;
    retort_status status = part == NULL ? RETORT_OK : find_row(&row, &decoders, in->name, part, in->err);
    if (status != RETORT_OK) return status;
    out->row = row;
    return out->row->read(in, part, out);
}

bool rt_cut_words(const rt_pre_tokenizer *pre_tokenizer, rt_cut_text *text) {
    const rt_pre_tokenizer_row *row = pre_tokenizer->row;
    if (row->cut != NULL) return row->cut(pre_tokenizer->data, text);
    rt_words *words = &text->spare_words;
    words->count = 0;
    for (size_t i = 0; i < text->words.count; i++) {
        size_t at = text->words.data[i].from, to = text->words.data[i].to;
        for (rt_word word; row->next(pre_tokenizer->data, &text->text, &at, to, &word);) {
            if (!rt_words_push(words, word.from, word.to)) return false;
        }
    }
    rt_swap_words(text);
    return true;
}

/* Points [from, to) of a text, as one word. */
static bool copy_points(const rt_normalized *text, size_t from, size_t to, rt_cut_text *out) {
    size_t count = to - from, begin = text->points[from].at, bytes = text->points[to].at - begin;
    out->text.count = out->words.count = 0;
    if (!rt_normalized_reserve(&out->text, count, bytes) || !rt_words_push(&out->words, 0, count))
        return false;
    memcpy(out->text.bytes, text->bytes + begin, bytes);
    for (size_t i = 0; i <= count; i++) {
        out->text.points[i] = text->points[from + i];
        out->text.points[i].at -= (uint32_t)begin;
    }
    out->text.count = count;
    return true;
}

/* By a pre-tokenizer that needs the text as a whole. */
static bool split_cut(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                      const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens, int32_t *number) {
    rt_cut_text *cut = &tokens->cut;
    if (from == to) return true;
    if (!copy_points(text, from, to, cut) || !rt_cut_words(pre_tokenizer, cut)) return false;
    for (size_t i = 0; i < cut->words.count; i++) {
        rt_word word = cut->words.data[i];
        if (!model->row->tokenize(model->data, &cut->text, word, (*number)++, tokens)) return false;
    }
    return true;
}

bool rt_split_by_rows(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model,
                      const rt_normalized *text, size_t from, size_t to, rt_tokens *tokens, int32_t *number) {
    if (pre_tokenizer->row->cut != NULL)
        return split_cut(pre_tokenizer, model, text, from, to, tokens, number);
    return rt_split_words(pre_tokenizer->row->next, pre_tokenizer, model->row->tokenize, model, text, from,
                          to, tokens, number);
}

rt_split_fn rt_split_of(const rt_pre_tokenizer *pre_tokenizer, const rt_token_model *model) {
    return model->row->split_for == pre_tokenizer->row ? model->row->split : rt_split_by_rows;
}
