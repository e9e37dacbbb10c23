/* SPDX-License-Identifier: Apache-2.0
 * Tasks whose answers are parts of a text: entities, an answer, guesses for mask tokens; in the JSON of
 * Hugging Face's pipelines. */
#include "serve/engine.h"
#include "serve/out.h"

#include <stdlib.h>
#include <string.h>

/* A key: `top`, the lengths of the text and its pair (-1: none), and their bytes, filled up with zeros. */
enum { TOP, LENGTH, PAIR_LENGTH, HEAD };

srv_row *srv_text_row(const retort_text *text, size_t tokens, int32_t top) {
    size_t bytes = text->length + text->pair_length, words = bytes / sizeof(int32_t) + 1;
    srv_row *row = bytes < INT32_MAX ? srv_row_new(tokens, HEAD + words) : NULL;
    if (row == NULL) return NULL;
    row->key[HEAD + words - 1] = 0;
    row->key[TOP] = top;
    row->key[LENGTH] = (int32_t)text->length;
    row->key[PAIR_LENGTH] = text->pair != NULL ? (int32_t)text->pair_length : -1;
    char *to = (char *)(row->key + HEAD);
    if (text->length > 0) memcpy(to, text->text, text->length);
    if (text->pair != NULL && text->pair_length > 0) memcpy(to + text->length, text->pair, text->pair_length);
    return row;
}

static retort_text text_of(const srv_row *row) {
    const char *bytes = (const char *)(row->key + HEAD);
    size_t length = (size_t)row->key[LENGTH];
    bool paired = row->key[PAIR_LENGTH] >= 0;
    return (retort_text){bytes, length, paired ? bytes + length : NULL,
                         paired ? (size_t)row->key[PAIR_LENGTH] : 0};
}

static void write_member(srv_out *out, const char *name, const char *text, size_t length) {
    srv_out_format(out, ",\"%s\":", name);
    srv_out_string(out, text, length);
}

static void write_place(srv_out *out, const retort_span *span) {
    srv_out_text(out, "{\"score\":");
    srv_out_real(out, (double)span->score);
    srv_out_format(out, ",\"start\":%u,\"end\":%u", span->start, span->end);
}

/* Entities, as the pipelines' aggregation_strategy "simple" has them. */
static retort_status run_tag(srv_engine *engine, retort_session *session, const retort_text *text,
                             int32_t top, srv_out *out, retort_error *err) {
    retort_spans spans = {0};
    (void)top;
    retort_status status = retort_tag(session, text, 1, &spans, err);
    srv_out_text(out, "[");
    for (size_t i = 0; status == RETORT_OK && i < spans.count; i++) {
        const char *label = retort_model_label(engine->model, spans.items[i].label);
        if (label == NULL) label = "?";
        if (strncmp(label, "B-", 2) == 0 || strncmp(label, "I-", 2) == 0) label += 2;
        if (i > 0) srv_out_text(out, ",");
        const retort_span *span = &spans.items[i];
        write_place(out, span);
        write_member(out, "entity_group", label, strlen(label));
        write_member(out, "word", text->text + span->byte_start, span->byte_end - span->byte_start);
        srv_out_text(out, "}");
    }
    srv_out_text(out, "]");
    retort_spans_free(&spans);
    return status;
}

static retort_status run_answer(srv_engine *engine, retort_session *session, const retort_text *text,
                                int32_t top, srv_out *out, retort_error *err) {
    retort_span span = {0};
    (void)engine;
    (void)top;
    retort_status status =
        retort_answer(session, text->text, text->length, text->pair, text->pair_length, &span, err);
    if (status != RETORT_OK) return status;
    write_place(out, &span);
    write_member(out, "answer", text->pair + span.byte_start, span.byte_end - span.byte_start);
    srv_out_text(out, "}");
    return RETORT_OK;
}

/* The text with its first "[MASK]" filled. */
static void write_sequence(srv_out *out, const retort_text *text, const char *piece) {
    static const char mask[] = "[MASK]";
    const char *at = memmem(text->text, text->length, mask, sizeof mask - 1);
    srv_out whole = {0};
    if (at == NULL) return;
    const char *rest = at + sizeof mask - 1;
    srv_out_bytes(&whole, text->text, (size_t)(at - text->text));
    srv_out_text(&whole, strncmp(piece, "##", 2) == 0 ? piece + 2 : piece);
    srv_out_bytes(&whole, rest, (size_t)(text->text + text->length - rest));
    if (!whole.failed) write_member(out, "sequence", whole.data, whole.length);
    out->failed |= whole.failed;
    srv_out_free(&whole);
}

static void write_guesses(srv_engine *engine, const retort_text *text, const retort_fill_guess *guesses,
                          size_t k, srv_out *out) {
    srv_out_text(out, "[");
    for (size_t i = 0; i < k && guesses[i].id >= 0; i++) {
        const char *piece = retort_model_piece(engine->model, guesses[i].id);
        if (piece == NULL) piece = "";
        srv_out_format(out, "%s{\"score\":", i > 0 ? "," : "");
        srv_out_real(out, (double)guesses[i].score);
        srv_out_format(out, ",\"token\":%d", guesses[i].id);
        write_member(out, "token_str", piece, strlen(piece));
        if (text != NULL) write_sequence(out, text, piece);
        srv_out_text(out, "}");
    }
    srv_out_text(out, "]");
}

/* Guesses for the mask token; for several, a list for each. */
static retort_status run_fill(srv_engine *engine, retort_session *session, const retort_text *text,
                              int32_t top, srv_out *out, retort_error *err) {
    size_t k = (size_t)top, masks = 0, most = (size_t)engine->info.positions; /* a mask is a token */
    retort_fill_guess *guesses = calloc(most * k, sizeof *guesses);
    if (guesses == NULL) return RETORT_NOMEM;
    retort_status status = retort_fill(session, text, k, guesses, most, &masks, err);
    if (masks > 1) srv_out_text(out, "[");
    for (size_t i = 0; status == RETORT_OK && i < masks; i++) {
        if (i > 0) srv_out_text(out, ",");
        write_guesses(engine, masks == 1 ? text : NULL, guesses + i * k, k, out);
    }
    if (masks > 1) srv_out_text(out, "]");
    free(guesses);
    return status;
}

static retort_status (*const runs[])(srv_engine *, retort_session *, const retort_text *, int32_t, srv_out *,
                                     retort_error *) = {
    [RETORT_TASK_TAG] = run_tag, [RETORT_TASK_ANSWER] = run_answer, [RETORT_TASK_FILL] = run_fill};

char *srv_text_run(srv_engine *engine, retort_session *session, srv_row *row, retort_status *why) {
    srv_out out = {.memory = engine->options->budget, .use = SRV_USE_INPUTS};
    retort_error err = {0};
    retort_text text = text_of(row);
    retort_status status = runs[engine->info.task](engine, session, &text, row->key[TOP], &out, &err);
    if (status == RETORT_ARGUMENT || status == RETORT_LIMIT) {
        out.length = 0;
        srv_out_text(&out, "!");
        srv_out_text(&out, err.text);
        status = RETORT_OK;
    }
    srv_out_bytes(&out, "", 1);
    if (status == RETORT_OK && out.failed) status = out.over ? RETORT_LIMIT : RETORT_NOMEM;
    if (status == RETORT_OK) {
        row->bytes += out.capacity;
        return out.data;
    }
    *why = status;
    srv_out_free(&out);
    return NULL;
}
