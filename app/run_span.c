/* SPDX-License-Identifier: Apache-2.0
 * run for the tasks that answer with parts of a text: entities, answers, guesses for mask tokens. */
#include "run.h"

#include <stdlib.h>
#include <string.h>

/* ---- Entities ---- */

static const char *type_of(const run_state *run, const retort_span *span) {
    const char *name = retort_model_label(run->model, span->label);
    if (name == NULL) return "?";
    return strncmp(name, "B-", 2) == 0 || strncmp(name, "I-", 2) == 0 ? name + 2 : name;
}

static json_t *entity_json(const run_state *run, const retort_text *text, const retort_span *span) {
    const char *type = type_of(run, span);
    return json_pack("{s:I, s:I, s:o, s:o, s:o}", "start", (json_int_t)span->start, "end",
                     (json_int_t)span->end, "label", cli_json_text(type, strlen(type)), "score",
                     cli_json_real(span->score), "text",
                     cli_json_text(text->text + span->byte_start, span->byte_end - span->byte_start));
}

/* The text with its entities marked. */
static void draw_entities(const run_state *run, const retort_text *text, const retort_span *spans, size_t n) {
    bool colours = cli_colours(stdout);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const retort_span *span = &spans[i];
        if (span->byte_start < at) continue; /* pieces of one character share its place */
        const char *type = type_of(run, span);
        cli_put(stdout, text->text + at, span->byte_start - at);
        fputs(colours ? "\033[32m[" : "[", stdout);
        cli_put(stdout, text->text + span->byte_start, span->byte_end - span->byte_start);
        putchar(' ');
        cli_put(stdout, type, strlen(type));
        fputs(colours ? "]\033[0m" : "]", stdout);
        at = span->byte_end;
    }
    cli_put(stdout, text->text + at, text->length - at);
    putchar('\n');
}

/* One line: "text<tab>label<tab>score" for each entity, separated by tabs. */
static void list_entities(const run_state *run, const retort_text *text, const retort_span *spans, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i > 0) putchar('\t');
        cli_put(stdout, text->text + spans[i].byte_start, spans[i].byte_end - spans[i].byte_start);
        putchar('\t');
        cli_put_column(stdout, 0, type_of(run, &spans[i]));
        printf("\t%.6f", (double)spans[i].score);
    }
    printf("\n");
}

static cli_code print_entities(const run_state *run, const retort_text *text, const retort_span *spans,
                               size_t n) {
    if (!run->json) {
        (run->drawn ? draw_entities : list_entities)(run, text, spans, n);
        return CLI_DONE;
    }
    json_t *entities = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(entities, entity_json(run, text, &spans[i]));
    return cli_print_json(json_pack("{s:o}", "entities", entities));
}

cli_code run_tag(run_state *run, const retort_text *texts, size_t n) {
    retort_spans spans = {0};
    retort_error err;
    cli_code code = CLI_DONE;
    if (retort_tag(run->session, texts, n, &spans, &err) != RETORT_OK) code = run_fail(run, &err, n, false);
    for (size_t i = 0, from = 0, to; code == CLI_DONE && i < n; i++, from = to) {
        for (to = from; to < spans.count && spans.items[to].text == i;) to++;
        code = print_entities(run, &texts[i], spans.items + from, to - from);
    }
    retort_spans_free(&spans);
    return code;
}

/* ---- Answers ---- */

static cli_code print_answer(const run_state *run, const retort_text *text, const retort_span *span) {
    const char *answer = text->pair + span->byte_start;
    size_t length = span->byte_end - span->byte_start;
    if (run->json) {
        return cli_print_json(json_pack("{s:o, s:o, s:I, s:I}", "answer", cli_json_text(answer, length),
                                        "score", cli_json_real(span->score), "start", (json_int_t)span->start,
                                        "end", (json_int_t)span->end));
    }
    if (run->drawn) run_print_heading(text);
    if (run->drawn) fputs("  ", stdout);
    cli_put(stdout, answer, length);
    printf("\t%.6f\n", (double)span->score);
    return CLI_DONE;
}

cli_code run_answer(run_state *run, const retort_text *texts, size_t n) {
    for (size_t i = 0; i < n; i++) {
        retort_error err;
        retort_span span;
        const retort_text *text = &texts[i];
        if (text->pair == NULL) {
            cli_error("text %zu: expected QUESTION<tab>CONTEXT", run->first + i + 1);
            return CLI_BAD_DATA;
        }
        if (retort_answer(run->session, text->text, text->length, text->pair, text->pair_length, &span,
                          &err) != RETORT_OK) {
            return run_fail(run, &err, 1, true);
        }
        cli_code code = print_answer(run, text, &span);
        if (code != CLI_DONE) return code;
    }
    return CLI_DONE;
}

/* ---- Mask tokens ---- */

static json_t *guesses_json(const run_state *run, const retort_fill_guess *guesses, size_t k) {
    json_t *array = json_array();
    for (size_t i = 0; i < k && guesses[i].id >= 0; i++) {
        const char *piece = retort_model_piece(run->model, guesses[i].id);
        if (piece == NULL) piece = "";
        json_array_append_new(array, json_pack("{s:i, s:o, s:o}", "id", guesses[i].id, "piece",
                                               cli_json_text(piece, strlen(piece)), "score",
                                               cli_json_real(guesses[i].score)));
    }
    return array;
}

static cli_code print_guesses(const run_state *run, const retort_text *text, const retort_fill_guess *guesses,
                              size_t masks) {
    if (run->json) {
        json_t *fill = json_array();
        for (size_t i = 0; i < masks; i++) {
            json_array_append_new(fill, guesses_json(run, guesses + i * run->top, run->top));
        }
        return cli_print_json(json_pack("{s:o}", "fill", fill));
    }
    if (run->drawn) run_print_heading(text);
    for (size_t i = 0; i < masks * run->top; i++) {
        const char *piece = retort_model_piece(run->model, guesses[i].id);
        const char *before = run->drawn ? "  " : i > 0 ? "\t" : "";
        if (guesses[i].id < 0) continue;
        fputs(before, stdout);
        cli_put_column(stdout, 0, piece != NULL ? piece : "");
        printf("\t%.6f%s", (double)guesses[i].score, run->drawn ? "\n" : "");
    }
    if (!run->drawn) printf("\n");
    return CLI_DONE;
}

cli_code run_fill(run_state *run, const retort_text *texts, size_t n) {
    size_t most = (size_t)run->info.positions; /* a mask is a token */
    retort_fill_guess *guesses = calloc(most * run->top, sizeof *guesses);
    cli_code code = guesses != NULL ? CLI_DONE : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        retort_error err;
        size_t masks = 0;
        if (retort_fill(run->session, &texts[i], run->top, guesses, most, &masks, &err) != RETORT_OK) {
            code = run_fail(run, &err, 1, true);
        } else {
            code = print_guesses(run, &texts[i], guesses, masks);
        }
    }
    free(guesses);
    return code;
}
