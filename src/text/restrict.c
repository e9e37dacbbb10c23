/* SPDX-License-Identifier: Apache-2.0 */
#include "text/restrict.h"

#include "text/checkpoint.h"
#include "text/languages.h"
#include "text/state.h"
#include "base/utf8.h"
#include "format/json.h"

#include <stdlib.h>
#include <string.h>

typedef struct chooser {
    const rt_tokenizer *tokenizer;
    const rt_restriction_options *options;
    rt_languages languages;
    size_t count;                     /* ids */
    uint8_t *stays;                   /* [count] whatever the texts are; then also what they need */
    uint8_t *anyway;                  /* [count] the former */
    uint32_t *texts;                  /* [count] that have the id */
    uint32_t *seen;                   /* [count] the last text that had it, counted from 1 */
    rt_word_cache *cache, *cache_now; /* of both tokenizers */
    rt_encoding encoding, other;
    retort_error *err;
} chooser;

/* ---- By characters ------------------------------------------------------------------------------------ */

/* Whether a piece stays for what it is. */
static bool belongs(const chooser *c, const uint8_t *text, size_t length) {
    size_t points = 0;
    bool foreign = false, shared = false;
    for (size_t at = 0, size; at < length; at += size, points++) {
        uint32_t point;
        size = rt_utf8_take(text + at, text + length, &point);
        if (point == RT_REPLACEMENT && (size != 3 || text[at] != 0xEF))
            return true; /* a part of a character */
        uint8_t script = rt_script(point);
        if (script == RT_NO_SCRIPT) continue;
        foreign |= !c->languages.written[script];
        shared |= c->languages.shared[script];
    }
    if (points == 1) return !foreign || text[0] < 0x80;
    return !foreign && !(shared && c->options->count > 0);
}

static void keep(chooser *c, int32_t id) {
    if (id >= 0 && (size_t)id < c->count) c->stays[id] = true;
}

static void keep_template(chooser *c, const rt_template *template) {
    for (size_t i = 0; i < template->count; i++) {
        for (size_t k = 0; k < template->parts[i].count; k++) keep(c, template->parts[i].ids[k]);
    }
}

/* Adds what the model needs. */
static bool complete(const chooser *c) {
    const rt_token_model *model = &c->tokenizer->model;
    return model->row->complete(model->data, c->stays);
}

static bool choose_by_characters(chooser *c) {
    const rt_tokenizer *tokenizer = c->tokenizer;
    const rt_token_model *model = &tokenizer->model;
    const rt_tokenizer_info *info = &tokenizer->info;
    uint8_t spelled[RT_PIECE_MAX];
    for (size_t id = 0; id < model->count; id++) {
        size_t length;
        const uint8_t *text = (const uint8_t *)rt_token_model_piece(model, id, &length);
        if (length == 0) continue;
        if (model->row->spell != NULL) {
            length = model->row->spell(model->data, id, spelled);
            text = spelled;
        }
        c->stays[id] = belongs(c, text, length);
    }
    for (int32_t id = 0; id < c->options->first; id++) keep(c, id);
    const int32_t special[] = {info->unk, info->cls, info->sep, info->pad, info->mask};
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) keep(c, special[i]);
    for (size_t i = 0; i < tokenizer->added.count; i++) keep(c, tokenizer->added.tokens[i].id);
    keep_template(c, &tokenizer->single);
    keep_template(c, &tokenizer->pair);
    if (!complete(c)) return false;
    memcpy(c->anyway, c->stays, c->count);
    return true;
}

/* ---- By texts ----------------------------------------------------------------------------------------- */

static retort_status encode(const chooser *c, rt_word_cache *cache, const retort_text *text,
                            rt_encoding *out) {
    return rt_encode(cache->tokenizer, text, &(rt_encode_options){.no_special = true, .cache = cache}, out,
                     c->err);
}

static retort_status choose_by_text(chooser *c, const retort_text *text, uint32_t number) {
    retort_status status = encode(c, c->cache, text, &c->encoding);
    for (size_t i = 0; status == RETORT_OK && i < c->encoding.count; i++) {
        int32_t id = c->encoding.ids[i];
        if (c->seen[id] == number) continue;
        c->seen[id] = number;
        c->texts[id]++;
        c->stays[id] = true;
    }
    return status;
}

static retort_status choose_by_texts(chooser *c) {
    const rt_restriction_options *options = c->options;
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < options->prompt_count; i++) {
        retort_text text = {.text = options->prompts[i], .length = strlen(options->prompts[i])};
        status = choose_by_text(c, &text, UINT32_MAX);
    }
    for (size_t i = 0; i < c->count; i++) c->anyway[i] |= c->stays[i];
    size_t tokens = 0;
    for (size_t i = 0; status == RETORT_OK && i < options->count; i++) {
        status = choose_by_text(c, &options->texts[i], (uint32_t)i + 1);
        tokens += c->encoding.count;
    }
    if (status == RETORT_OK && options->count > 0 && tokens == 0)
        return rt_fail(c->err, RETORT_ARGUMENT,
                       "texts: all %zu are empty: expected texts like those that the model will read",
                       options->count);
    return status != RETORT_OK || complete(c) ? status : rt_fail_nomem(c->err, c->count);
}

static retort_status measure_text(chooser *c, const int32_t *to, const retort_text *text,
                                  rt_restriction *out) {
    retort_status status = encode(c, c->cache, text, &c->encoding);
    if (status == RETORT_OK) status = encode(c, c->cache_now, text, &c->other);
    if (status != RETORT_OK) return status;
    bool same = c->encoding.count == c->other.count, unseen = same;
    for (size_t i = 0; same && i < c->encoding.count; i++) {
        int32_t id = c->encoding.ids[i];
        same = to[id] == c->other.ids[i];
        unseen &= same && (c->anyway[id] || c->texts[id] > 1);
    }
    out->identical += same;
    out->identical_unseen += same && unseen;
    return RETORT_OK;
}

static retort_status measure(chooser *c, const rt_tokenizer *now, const int32_t *to, rt_restriction *out) {
    c->cache_now = rt_word_cache_new(now, 0);
    if (c->cache_now == NULL) return rt_fail_nomem(c->err, sizeof *c->cache_now);
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < c->options->count; i++)
        status = measure_text(c, to, &c->options->texts[i], out);
    return status;
}

/* ---- The tokenizer ------------------------------------------------------------------------------------ */

/* Ids of added tokens beyond the vocabulary follow its new end. */
static bool renumber_added(const rt_tokenizer *tokenizer, const json_t *list, const rt_selection *selection) {
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item) {
        const char *content = json_string_value(json_object_get(item, "content"));
        if (content == NULL || json_object_get(item, "id") == NULL) continue;
        int32_t id = rt_selected(selection, rt_tokenizer_id(tokenizer, content, strlen(content)));
        if (json_object_set_new(item, "id", json_integer(id)) != 0) return false;
    }
    return true;
}

static retort_status build(rt_tokenizer **out, const rt_tokenizer *tokenizer, json_t *settings,
                           const rt_selection *selection, const char *name, retort_error *err) {
    const rt_token_model *model = &tokenizer->model;
    rt_vocabulary known = {0};
    rt_buffer pieces = {0}, table = {0};
    size_t in_model = 0;
    while (in_model < selection->count && (size_t)selection->ids[in_model] < model->count) in_model++;
    const rt_selection of_model = {selection->ids, in_model, selection->to, selection->before};
    retort_status status = rt_vocabulary_open(&known, name, tokenizer->block, tokenizer->block_size, err);
    if (status == RETORT_OK)
        status = model->row->select(model->data, name, json_object_get(settings, "model"), &of_model, &pieces,
                                    &table, err);
    if (status == RETORT_OK &&
        (!rt_post_processor_renumber(json_object_get(settings, "post_processor"), selection) ||
         !renumber_added(tokenizer, json_object_get(settings, "added_tokens"), selection)))
        status = rt_fail(err, RETORT_NOMEM, "%s: out of memory", name);
    const rt_buffer map = {.data = (char *)(uintptr_t)known.map, .length = known.map_size};
    if (status == RETORT_OK)
        status = rt_tokenizer_build_with(out, name, settings, &pieces, &table, &map, err);
    rt_buffer_free(&pieces);
    rt_buffer_free(&table);
    return status;
}

/* The ids that stay, and *to, which is malloc'ed: [count] their new ones. */
static retort_status number(const chooser *c, rt_restriction *out, int32_t **to) {
    out->before = c->count;
    out->ids = rt_calloc(c->count, sizeof *out->ids);
    *to = rt_calloc(c->count, sizeof **to);
    if (out->ids == NULL || *to == NULL) return rt_fail_nomem(c->err, c->count * sizeof **to);
    for (size_t id = 0; id < c->count; id++) {
        (*to)[id] = c->stays[id] ? (int32_t)out->count : -1;
        if (c->stays[id]) out->ids[out->count++] = (int32_t)id;
    }
    return RETORT_OK;
}

static retort_status apply(chooser *c, rt_tokenizer **out, rt_restriction *restriction, const char *name) {
    int32_t *to = NULL;
    json_t *settings = NULL;
    retort_status status = number(c, restriction, &to);
    if (status == RETORT_OK)
        status =
            rt_json_parse(&settings, name, c->tokenizer->settings, strlen(c->tokenizer->settings), c->err);
    if (status == RETORT_OK) {
        const rt_selection selection = {restriction->ids, restriction->count, to, c->count};
        status = build(out, c->tokenizer, settings, &selection, name, c->err);
    }
    if (status == RETORT_OK) status = measure(c, *out, to, restriction);
    json_decref(settings);
    free(to);
    return status;
}

static bool open_chooser(chooser *c) {
    c->count = (size_t)c->tokenizer->info.pieces;
    c->stays = rt_calloc(c->count, 1);
    c->anyway = rt_calloc(c->count, 1);
    c->texts = rt_calloc(c->count, sizeof *c->texts);
    c->seen = rt_calloc(c->count, sizeof *c->seen);
    c->cache = rt_word_cache_new(c->tokenizer, 0);
    return c->cache != NULL && c->stays != NULL && c->anyway != NULL && c->texts != NULL && c->seen != NULL;
}

static void close_chooser(chooser *c) {
    free(c->stays);
    free(c->anyway);
    free(c->texts);
    free(c->seen);
    rt_word_cache_free(c->cache);
    rt_word_cache_free(c->cache_now);
    rt_encoding_free(&c->encoding);
    rt_encoding_free(&c->other);
}

retort_status rt_tokenizer_restrict(rt_tokenizer **out, rt_restriction *restriction,
                                    const rt_tokenizer *tokenizer, const rt_restriction_options *options,
                                    const char *name, retort_error *err) {
    chooser c = {.tokenizer = tokenizer, .options = options, .err = err};
    *out = NULL;
    *restriction = (rt_restriction){0};
    retort_status status = rt_languages_read(&c.languages, options->languages, err);
    if (status == RETORT_OK && (!open_chooser(&c) || !choose_by_characters(&c)))
        status = rt_fail_nomem(err, 10 * c.count);
    if (status == RETORT_OK) status = choose_by_texts(&c);
    if (status == RETORT_OK) status = apply(&c, out, restriction, name);
    close_chooser(&c);
    if (status == RETORT_OK) return status;
    rt_tokenizer_free(*out);
    *out = NULL;
    rt_restriction_free(restriction);
    return status;
}

void rt_restriction_free(rt_restriction *restriction) {
    free(restriction->ids);
    *restriction = (rt_restriction){0};
}
