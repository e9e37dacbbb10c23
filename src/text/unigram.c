/* SPDX-License-Identifier: Apache-2.0
 * Unigram: its table, from a tokenizer.json or from pieces of another one, and back. */
#include "text/unigram.h"

#include "text/metaspace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double UNKNOWN_PENALTY = 10; /* of an unknown character, below the least score */
static const double MAX_SCORE = 1e30;     /* of real ones -100 is the least */

enum { MAX_PIECES = 1 << 24, MAX_BYTES = 1 << 30, BYTES = 256 };

/* What the table begins with; then the units of the trie, scores, where each piece begins in the text, and the text, in
 * which each piece ends with NUL. The table is used where it lies. Whatever it holds, accesses stay within. */
typedef struct table_header {
    char magic[8];
    uint64_t units, count, text;
    uint32_t root, zero;
} table_header;
static const char MAGIC[8] = "unigram2";
static const char UNMARKED[8] = "unigram1"; /* of older files: no piece is marked as whole */

/* ---- Pieces ------------------------------------------------------------------------------------------- */

static int32_t find(const void *data, const char *piece, size_t length) {
    const rt_unigram *model = data;
    int32_t id = rt_trie_find(&model->trie, (const uint8_t *)piece, length);
    return id >= 0 && (size_t)id < model->count ? id : -1;
}

/* A piece that the table does not really hold has no length. */
static const char *piece_of(const void *data, size_t id, size_t *length) {
    const rt_unigram *model = data;
    uint32_t from = model->starts[id], to = model->starts[id + 1];
    *length = 0;
    if (from >= to || to > model->text_size || to - from > RT_PIECE_MAX + 1 || model->text[to - 1] != '\0')
        return "";
    *length = to - from - 1;
    return model->text + from;
}

/* ---- From a tokenizer.json to a table ----------------------------------------------------------------- */

typedef struct piece_list {
    rt_buffer text;
    uint32_t *starts;
    double *scores;
    size_t count;
} piece_list;

static void free_list(piece_list *list) {
    rt_buffer_free(&list->text);
    free(list->starts);
    free(list->scores);
}

static double unknown_score(const double *scores, size_t count) {
    double least = scores[0];
    for (size_t i = 1; i < count; i++) least = scores[i] < least ? scores[i] : least;
    return least - UNKNOWN_PENALTY;
}

/* Marks the pieces that are the best way to make themselves. False when out of memory. */
static bool mark_whole(const piece_list *list, uint64_t *units, size_t count, uint32_t root,
                       json_int_t unknown) {
    const rt_unigram model = {.trie = {units, count, root},
                              .scores = list->scores,
                              .count = list->count,
                              .unknown_score = unknown_score(list->scores, list->count),
                              .unknown = (int32_t)unknown};
    void *work = NULL;
    size_t capacity = 0;
    bool fine = true;
    for (size_t i = 0; fine && i < list->count; i++) {
        const uint8_t *piece = (const uint8_t *)list->text.data + list->starts[i];
        size_t length = list->starts[i + 1] - list->starts[i] - 1;
        bool whole;
        fine = rt_unigram_is_whole(&model, (int32_t)i, piece, length, &work, &capacity, &whole);
        if (fine && whole) rt_trie_mark(units, root, piece, length);
    }
    free(work);
    return fine;
}

static retort_status write_table(const piece_list *list, json_int_t unknown, rt_buffer *table,
                                 retort_error *err) {
    table_header header = {.count = list->count, .text = list->text.length};
    rt_buffer units = {0};
    retort_status status =
        rt_trie_build(&units, &header.root, list->text.data, list->starts, list->count, err);
    if (status == RETORT_OK && !mark_whole(list, (uint64_t *)(void *)units.data,
                                           units.length / sizeof(uint64_t), header.root, unknown))
        status = rt_fail_nomem(err, units.length);
    if (status == RETORT_OK) {
        memcpy(header.magic, MAGIC, sizeof header.magic);
        header.units = units.length / sizeof(uint64_t);
        rt_buffer_append(table, &header, sizeof header);
        rt_buffer_append(table, units.data, units.length);
        rt_buffer_append(table, list->scores, (list->count + 1) * sizeof *list->scores);
        rt_buffer_append(table, list->starts, (list->count + 1) * sizeof *list->starts);
        rt_buffer_append(table, list->text.data, list->text.length);
        if (table->failed) status = rt_fail_nomem(err, table->length);
    }
    rt_buffer_free(&units);
    return status;
}

static retort_status add_piece(piece_list *list, const char *name, const json_t *item, retort_error *err) {
    const json_t *piece = json_array_get(item, 0), *score = json_array_get(item, 1);
    const char *text = json_string_value(piece);
    size_t length = text != NULL ? strlen(text) : 0;
    if (text == NULL || !json_is_number(score) || json_array_size(item) != 2 ||
        !isfinite(json_number_value(score))) {
        return rt_fail(err, RETORT_FORMAT, "%s: model: vocab: item %zu is not a piece and its score", name,
                       list->count);
    }
    if (length > RT_PIECE_MAX) {
        return rt_fail(err, RETORT_LIMIT, "%s: piece %zu has %zu bytes, at most %d are supported", name,
                       list->count, length, RT_PIECE_MAX);
    }
    list->scores[list->count++] = json_number_value(score);
    rt_buffer_append(&list->text, text, length + 1);
    list->starts[list->count] = (uint32_t)list->text.length;
    return list->text.failed ? rt_fail_nomem(err, list->text.length) : RETORT_OK;
}

static retort_status take(const char *name, json_t *part, rt_buffer *pieces, rt_buffer *table,
                          retort_error *err) {
    const json_t *vocab = json_object_get(part, "vocab"), *item;
    size_t count = json_array_size(vocab), i;
    (void)pieces;
    if (count == 0) return rt_fail(err, RETORT_FORMAT, "%s: model: no vocab", name);
    if (count > MAX_PIECES)
        return rt_fail(err, RETORT_LIMIT, "%s: %zu pieces, at most %d are supported", name, count,
                       MAX_PIECES);
    piece_list list = {.text.limit = MAX_BYTES};
    list.starts = rt_calloc(count + 1, sizeof *list.starts);
    list.scores = rt_calloc(count + 1, sizeof *list.scores);
    retort_status status =
        list.starts == NULL || list.scores == NULL ? rt_fail_nomem(err, 12 * count) : RETORT_OK;
    json_array_foreach(vocab, i, item) {
        if (status == RETORT_OK) status = add_piece(&list, name, item, err);
    }
    if (status == RETORT_OK) {
        list.scores[count] = -INFINITY;
        status = write_table(&list, json_integer_value(json_object_get(part, "unk_id")), table, err);
    }
    free_list(&list);
    if (status == RETORT_OK) json_object_del(part, "vocab");
    return status;
}

/* ---- Fewer pieces ------------------------------------------------------------------------------------- */

/* The unknown token, bytes, and a piece of the least score, below which an unknown character is. */
static bool complete(const void *data, uint8_t *stays) {
    const rt_unigram *model = data;
    size_t least = 0;
    for (size_t id = 1; id < model->count; id++) {
        double score = model->scores[id], other = model->scores[least];
        if (score < other || (score == other && stays[id] && !stays[least])) least = id;
    }
    stays[least] = stays[model->unknown] = true;
    for (size_t byte = 0; model->has_bytes && byte < BYTES; byte++) stays[model->bytes[byte]] = true;
    return true;
}

static retort_status select_pieces(const void *data, const char *name, json_t *part,
                                   const rt_selection *selection, rt_buffer *pieces, rt_buffer *table,
                                   retort_error *err) {
    const rt_unigram *model = data;
    piece_list list = {.text.limit = MAX_BYTES};
    (void)name;
    (void)pieces;
    list.starts = rt_calloc(selection->count + 1, sizeof *list.starts);
    list.scores = rt_calloc(selection->count + 1, sizeof *list.scores);
    bool fine = list.starts != NULL && list.scores != NULL;
    for (size_t i = 0; fine && i < selection->count; i++) {
        size_t length;
        const char *piece = piece_of(model, (size_t)selection->ids[i], &length);
        list.scores[i] = model->scores[selection->ids[i]];
        rt_buffer_append(&list.text, piece, length + 1);
        list.starts[++list.count] = (uint32_t)list.text.length;
        fine = !list.text.failed;
    }
    if (fine) list.scores[list.count] = -INFINITY;
    int32_t unknown = rt_selected(selection, model->unknown);
    fine = fine && json_object_set_new(part, "unk_id", json_integer(unknown)) == 0;
    retort_status status =
        fine ? write_table(&list, unknown, table, err) : rt_fail_nomem(err, 12 * selection->count);
    free_list(&list);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------------------ */

static retort_status bad_table(const rt_component_reader *in) {
    return rt_fail(in->err, RETORT_FORMAT, "%s: the table of the Unigram model is damaged", in->name);
}

/* `size` of the parts is all that there is. */
static retort_status open_table(const rt_component_reader *in, const rt_vocabulary *vocabulary,
                                rt_unigram *model) {
    table_header header;
    size_t size = vocabulary->table_size;
    const uint8_t *at = vocabulary->table;
    if (size < sizeof header) return bad_table(in);
    if ((uintptr_t)at % sizeof(double) != 0) { /* other programs align tensors otherwise */
        uint8_t *copy = rt_arena_calloc(in->arena, size, 1);
        if (copy == NULL) return rt_fail_nomem(in->err, size);
        memcpy(copy, at, size);
        at = copy;
    }
    memcpy(&header, at, sizeof header);
    bool known = memcmp(header.magic, MAGIC, sizeof MAGIC) == 0 ||
                 memcmp(header.magic, UNMARKED, sizeof UNMARKED) == 0;
    if (!known || header.units > RT_TRIE_MAX || header.count == 0 || header.count > MAX_PIECES ||
        header.text > MAX_BYTES ||
        size !=
            sizeof header + 8 * header.units + 8 * (header.count + 1) + 4 * (header.count + 1) + header.text)
        return bad_table(in);
    at += sizeof header;
    model->trie = (rt_piece_trie){(const void *)at, (size_t)header.units, header.root};
    at += 8 * header.units;
    model->scores = (const void *)at;
    at += 8 * (header.count + 1);
    model->starts = (const void *)at;
    at += 4 * (header.count + 1);
    model->text = (const void *)at;
    model->count = (size_t)header.count;
    model->text_size = (size_t)header.text;
    return RETORT_OK;
}

/* And checks all scores: every sum of them must be finite. */
static retort_status find_unknown_score(const rt_component_reader *in, rt_unigram *model) {
    bool fine = model->scores[model->count] == -INFINITY;
    for (size_t i = 0; i < model->count; i++) {
        double score = model->scores[i];
        fine &= score >= -MAX_SCORE && score <= MAX_SCORE; /* a NaN is neither */
    }
    model->unknown_score = unknown_score(model->scores, model->count);
    if (fine) return RETORT_OK;
    return rt_fail(in->err, RETORT_FORMAT, "%s: model: a score that is not a number, or beyond %g", in->name,
                   MAX_SCORE);
}

/* Without all of them, none is used. */
static void find_bytes(rt_unigram *model) {
    model->has_bytes = true;
    for (unsigned byte = 0; byte < BYTES; byte++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", byte);
        model->bytes[byte] = find(model, piece, strlen(piece));
        if (model->bytes[byte] < 0) model->has_bytes = false;
    }
}

static retort_status check_settings(const rt_component_reader *in, const json_t *part) {
    static const char *const sampling[] = {"dropout", "alpha", "nbest_size"};
    for (size_t i = 0; i < sizeof sampling / sizeof *sampling; i++) {
        const json_t *value = json_object_get(part, sampling[i]);
        if (value != NULL && !json_is_null(value))
            return rt_fail(in->err, RETORT_UNSUPPORTED,
                           "%s: model: %s is not supported: pieces are not sampled", in->name, sampling[i]);
    }
    return RETORT_OK;
}

static retort_status read_part(const rt_component_reader *in, const json_t *part,
                               const rt_vocabulary *vocabulary, rt_token_model *out) {
    const json_t *unknown = json_object_get(part, "unk_id");
    rt_unigram *model = rt_arena_calloc(in->arena, 1, sizeof *model);
    bool bytes = false;
    if (model == NULL) return rt_fail_nomem(in->err, sizeof *model);
    out->data = model;
    retort_status status = check_settings(in, part);
    if (status == RETORT_OK) status = rt_component_flag(in, part, "byte_fallback", false, &bytes);
    if (status == RETORT_OK) status = open_table(in, vocabulary, model);
    if (status == RETORT_OK) status = find_unknown_score(in, model);
    if (status != RETORT_OK) return status;
    json_int_t id = json_integer_value(unknown);
    if (!json_is_integer(unknown) || id < 0 || (size_t)id >= model->count) {
        return rt_fail(in->err, json_is_integer(unknown) ? RETORT_FORMAT : RETORT_UNSUPPORTED,
                       "%s: model: unk_id must be the id of one of %zu pieces", in->name, model->count);
    }
    size_t length;
    piece_of(model, (size_t)id, &length);
    if (length == 0)
        return rt_fail(in->err, RETORT_FORMAT, "%s: model: the unknown token is an empty piece", in->name);
    if (bytes) find_bytes(model);
    model->unknown = (int32_t)id;
    out->count = model->count;
    out->unknown = model->unknown;
    return RETORT_OK;
}

const rt_token_model_row rt_unigram_row = {
    .type = "Unigram",
    .special = {"<unk>", "</s>", "<pad>", "<s>", "<mask>"},
    .decoder = &rt_metaspace_decoder_row,
    .take = take,
    .read = read_part,
    .pieces_in_table = true,
    .complete = complete,
    .select = select_pieces,
    .tokenize = rt_unigram_tokenize,
    .split = rt_unigram_split,
    .split_for = &rt_metaspace_row,
    .find = find,
    .piece = piece_of,
};
