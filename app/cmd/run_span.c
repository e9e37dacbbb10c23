/* SPDX-License-Identifier: Apache-2.0
 * run for the tasks that answer with parts of a text: entities, answers, guesses for mask tokens. */
#include "cmd/run_span.h"
#include "cli/options.h"
#include "cli/text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Entities ---- */

static json_t *entity_json(const retort_text *text, const retort_span *span) {
    return json_pack("{s:I, s:I, s:o, s:o, s:o}", "start", (json_int_t)span->start, "end",
                     (json_int_t)span->end, "label", cli_json_text(span->name, strlen(span->name)), "score",
                     cli_json_real(span->score), "text",
                     cli_json_text(text->text + span->byte_start, span->byte_end - span->byte_start));
}

/* Prints the text with its entities marked. */
static void draw_entities(FILE *to, const retort_text *text, const retort_span *spans, size_t n) {
    bool colours = cli_colours(stdout);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const retort_span *span = &spans[i];
        if (span->byte_start < at) continue; /* several pieces may share one character */
        cli_put(to, text->text + at, span->byte_start - at);
        fputs(colours ? "\033[32m[" : "[", to);
        cli_put(to, text->text + span->byte_start, span->byte_end - span->byte_start);
        putc(' ', to);
        cli_put(to, span->name, strlen(span->name));
        fputs(colours ? "]\033[0m" : "]", to);
        at = span->byte_end;
    }
    cli_put(to, text->text + at, text->length - at);
    putc('\n', to);
}

/* One line: "text<tab>label<tab>score" for each entity, separated by tabs. */
static void list_entities(FILE *to, const retort_text *text, const retort_span *spans, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (i > 0) putc('\t', to);
        cli_put(to, text->text + spans[i].byte_start, spans[i].byte_end - spans[i].byte_start);
        putc('\t', to);
        cli_put_column(to, 0, spans[i].name);
        fprintf(to, "\t%.6f", (double)spans[i].score);
    }
    fprintf(to, "\n");
}

static cli_code print_entities(const run_state *run, const retort_text *text, const retort_span *spans,
                               size_t n, bool cut) {
    if (!run->json && !run->cells) {
        (run->drawn ? draw_entities : list_entities)(run->out, text, spans, n);
        return CLI_DONE;
    }
    json_t *entities = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(entities, entity_json(text, &spans[i]));
    if (run->cells) {
        run_begin_cells(run, cut);
        return run_cell_json(run, entities);
    }
    return cli_put_json(run->out, json_pack("{s:o, s:b}", "entities", entities, "truncated", cut));
}

static retort_aggregation aggregation_of(const cli_args *args) {
    static const struct {
        const char *name;
        retort_aggregation aggregation;
    } rows[] = {{"none", RETORT_AGGREGATION_NONE},
                {"first", RETORT_AGGREGATION_FIRST},
                {"average", RETORT_AGGREGATION_AVERAGE},
                {"max", RETORT_AGGREGATION_MAX}};
    const char *name = cli_text(args, CLI_AGGREGATION);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) == 0) return rows[i].aggregation;
    }
    return RETORT_AGGREGATION_SIMPLE;
}

cli_code run_tag(run_state *run, const retort_text *texts, size_t n) {
    retort_tag_options options = RETORT_TAG_OPTIONS;
    retort_spans spans = {0};
    retort_error err;
    cli_names ignored;
    cli_code code = cli_split_names(&ignored, run->args, CLI_IGNORE_LABELS);
    if (code != CLI_DONE) return code;
    options.aggregation = aggregation_of(run->args);
    options.stride = cli_int(run->args, CLI_STRIDE, -1);
    options.cut = cli_has(run->args, CLI_TRUNCATE);
    options.ignore = ignored.items;
    options.ignore_count = ignored.count;
    if (retort_tag(run->session, texts, n, &options, &spans, &err) != RETORT_OK)
        code = run_fail(run, &err, n, false);
    if (code == CLI_DONE) code = run_note_cuts(run, texts, n);
    for (size_t i = 0, from = 0, to; code == CLI_DONE && i < n; i++, from = to) {
        for (to = from; to < spans.count && spans.items[to].text == i;) to++;
        code = print_entities(run, &texts[i], spans.items + from, to - from, run->cut[i]);
    }
    retort_spans_free(&spans);
    cli_names_free(&ignored);
    return code;
}

/* ---- Answers ---- */

static json_t *answer_json(const retort_text *text, const retort_span *span) {
    return json_pack("{s:o, s:o, s:I, s:I}", "answer",
                     cli_json_text(text->pair + span->byte_start, span->byte_end - span->byte_start), "score",
                     cli_json_real(span->score), "start", (json_int_t)span->start, "end",
                     (json_int_t)span->end);
}

/* The best answer and its score; with --top a list of the others, too. */
static cli_code put_answer_cells(const run_state *run, const retort_text *text, const retort_spans *spans) {
    const retort_span *best = &spans->items[0];
    run_begin_cells(run, run->cut[0]);
    run_cell(run, text->pair + best->byte_start, best->byte_end - best->byte_start);
    run_cell_real(run, (double)best->score);
    if (!cli_has(run->args, CLI_TOP)) return CLI_DONE;
    json_t *answers = json_array();
    for (size_t i = 0; i < spans->count; i++)
        json_array_append_new(answers, answer_json(text, &spans->items[i]));
    return run_cell_json(run, answers);
}

/* One answer; with --top a list. */
static cli_code print_answers(const run_state *run, const retort_text *text, const retort_spans *spans) {
    if (run->cells) return put_answer_cells(run, text, spans);
    if (run->json && !cli_has(run->args, CLI_TOP)) {
        json_t *json = answer_json(text, &spans->items[0]);
        if (json != NULL) json_object_set_new(json, "truncated", json_boolean(run->cut[0]));
        return cli_put_json(run->out, json);
    }
    if (run->json) {
        json_t *answers = json_array();
        for (size_t i = 0; i < spans->count; i++)
            json_array_append_new(answers, answer_json(text, &spans->items[i]));
        return cli_put_json(run->out, json_pack("{s:o, s:b}", "answers", answers, "truncated", run->cut[0]));
    }
    if (run->drawn) run_print_heading(run, text);
    for (size_t i = 0; i < spans->count; i++) {
        const retort_span *span = &spans->items[i];
        fputs(run->drawn ? "  " : i > 0 ? "\t" : "", run->out);
        cli_put(run->out, text->pair + span->byte_start, span->byte_end - span->byte_start);
        fprintf(run->out, "\t%.6f%s", (double)span->score, run->drawn ? "\n" : "");
    }
    if (!run->drawn) putc('\n', run->out);
    return CLI_DONE;
}

static retort_answer_options answer_options(const run_state *run) {
    retort_answer_options options = RETORT_ANSWER_OPTIONS;
    options.top = run->top;
    options.longest = cli_int(run->args, CLI_MAX_ANSWER, 0);
    options.window = cli_int(run->args, CLI_WINDOW, 0);
    options.stride = cli_int(run->args, CLI_STRIDE, -1);
    options.question = cli_int(run->args, CLI_MAX_QUESTION, 0);
    options.impossible = cli_has(run->args, CLI_IMPOSSIBLE);
    options.pieces = cli_has(run->args, CLI_PIECES);
    return options;
}

cli_code run_answer(run_state *run, const retort_text *texts, size_t n) {
    retort_answer_options options = answer_options(run);
    retort_spans spans = {0};
    cli_code code = CLI_DONE;
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        retort_error err;
        const retort_text *text = &texts[i];
        if (text->pair == NULL) {
            cli_error(cli_has(run->args, CLI_DATA)
                          ? "text %zu: a question without a context: name its column with --text-pair-column"
                          : "text %zu: expected QUESTION<tab>CONTEXT",
                      run->first + i + 1);
            code = CLI_BAD_DATA;
        } else if (retort_answer(run->session, text->text, text->length, text->pair, text->pair_length,
                                 &options, &spans, &err) != RETORT_OK) {
            code = run_fail(run, &err, 1, true);
        } else {
            code = run_note_cuts(run, text, 1);
            if (code == CLI_DONE) code = print_answers(run, text, &spans);
        }
    }
    retort_spans_free(&spans);
    return code;
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
    if (run->json || run->cells) {
        json_t *fill = json_array();
        for (size_t i = 0; i < masks; i++) {
            json_array_append_new(fill, guesses_json(run, guesses + i * run->top, run->top));
        }
        if (run->cells) {
            run_begin_cells(run, run->cut[0]);
            return run_cell_json(run, fill);
        }
        return cli_put_json(run->out, json_pack("{s:o, s:b}", "fill", fill, "truncated", run->cut[0]));
    }
    if (run->drawn) run_print_heading(run, text);
    for (size_t i = 0; i < masks * run->top; i++) {
        const char *piece = retort_model_piece(run->model, guesses[i].id);
        const char *before = run->drawn ? "  " : i > 0 ? "\t" : "";
        if (guesses[i].id < 0) continue;
        fputs(before, run->out);
        cli_put_column(run->out, 0, piece != NULL ? piece : "");
        fprintf(run->out, "\t%.6f%s", (double)guesses[i].score, run->drawn ? "\n" : "");
    }
    if (!run->drawn) fprintf(run->out, "\n");
    return CLI_DONE;
}

cli_code run_fill(run_state *run, const retort_text *texts, size_t n) {
    size_t max = (size_t)run->info.positions; /* a mask is a token */
    retort_fill_options options = RETORT_FILL_OPTIONS;
    cli_names words;
    cli_code code = cli_split_names(&words, run->args, CLI_TARGETS);
    if (code != CLI_DONE) return code;
    retort_fill_guess *guesses = calloc(max * run->top, sizeof *guesses);
    retort_text *targets = calloc(words.count + 1, sizeof *targets);
    if (guesses == NULL || targets == NULL) code = cli_no_memory();
    for (size_t i = 0; targets != NULL && i < words.count; i++)
        targets[i] = (retort_text){.text = words.items[i], .length = strlen(words.items[i])};
    options.targets = cli_has(run->args, CLI_TARGETS) ? targets : NULL;
    options.target_count = words.count;
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        retort_error err;
        size_t masks = 0;
        if (retort_fill(run->session, &texts[i], run->top, &options, guesses, max, &masks, &err) !=
            RETORT_OK) {
            code = run_fail(run, &err, 1, true);
        } else {
            code = run_note_cuts(run, &texts[i], 1);
            if (code == CLI_DONE) code = print_guesses(run, &texts[i], guesses, masks);
        }
    }
    free(guesses);
    free(targets);
    cli_names_free(&words);
    return code;
}
