/* SPDX-License-Identifier: Apache-2.0
 * run for the tasks with one row per text: labels and vectors. */
#include "cmd/run_text.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/text.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *label_of(const run_state *run, size_t index, char *scratch, size_t size) {
    if (run->labels.count > 0) return run->labels.items[index];
    const char *label = retort_model_label(run->model, (int64_t)index);
    if (label != NULL) return label;
    snprintf(scratch, size, "LABEL_%zu", index);
    return scratch;
}

/* The number of labels to print: --top, or else `otherwise`. */
static size_t shown_labels(const run_state *run, size_t n, size_t otherwise) {
    size_t max = cli_has(run->args, CLI_TOP) ? run->top : otherwise;
    return max < n ? max : n;
}

/* logits: [n] or NULL */
static cli_code print_labels_json(const run_state *run, const run_scored *order, const float *logits,
                                  size_t n, bool cut) {
    json_t *labels = json_array();
    char scratch[32];
    for (size_t i = 0; i < shown_labels(run, n, n); i++) {
        const char *name = label_of(run, order[i].index, scratch, sizeof scratch);
        json_array_append_new(labels, json_pack("{s:o, s:o}", "label", cli_json_text(name, strlen(name)),
                                                "score", cli_json_real(order[i].score)));
    }
    return cli_put_json(run->out,
                        json_pack("{s:o, s:o*, s:b}", "labels", labels, "logits",
                                  logits != NULL ? run_json_reals(logits, n) : NULL, "truncated", cut));
}

/* The best label and its score; with --scores or --top an object of the others, too. */
static cli_code put_label_cells(const run_state *run, const run_scored *order, size_t n, bool cut) {
    char scratch[32];
    bool all = cli_has(run->args, CLI_SCORES);
    const char *best = label_of(run, order[0].index, scratch, sizeof scratch);
    run_begin_cells(run, cut);
    run_cell(run, best, strlen(best));
    run_cell_real(run, (double)order[0].score);
    if (!all && !cli_has(run->args, CLI_TOP)) return CLI_DONE;
    json_t *scores = json_object();
    for (size_t i = 0; i < (all ? n : shown_labels(run, n, n)); i++) {
        const char *name = label_of(run, order[i].index, scratch, sizeof scratch);
        if (json_object_get(scores, name) == NULL) /* of labels of one name, the highest */
            json_object_set_new(scores, name, cli_json_real(order[i].score));
    }
    return run_cell_json(run, scores);
}

static void draw_labels(const run_state *run, const retort_text *text, const run_scored *order, size_t n) {
    enum { WIDTH = 30 };
    bool colours = cli_colours(stdout);
    char scratch[32];
    run_print_heading(run, text);
    for (size_t i = 0; i < n && i < run->top; i++) {
        int filled = (int)lroundf(WIDTH * fminf(fmaxf(order[i].score, 0), 1));
        fputs("  ", run->out);
        cli_put_column(run->out, 28, label_of(run, order[i].index, scratch, sizeof scratch));
        fprintf(run->out, " %8.4f %s", (double)order[i].score,
                colours ? i == 0 ? "\033[32m" : "\033[2m" : "");
        for (int j = 0; j < filled; j++) fputs("█", run->out);
        fprintf(run->out, "%s\n", colours ? "\033[0m" : "");
    }
}

static cli_code print_labels(const run_state *run, const retort_text *text, const float *scores,
                             const float *logits, run_scored *order, size_t n, bool cut) {
    char scratch[32];
    for (size_t i = 0; i < n; i++) order[i] = (run_scored){scores[i], i};
    qsort(order, n, sizeof *order, run_compare_scored);
    if (run->cells) return put_label_cells(run, order, n, cut);
    if (run->json) return print_labels_json(run, order, logits, n, cut);
    if (run->drawn) {
        draw_labels(run, text, order, n);
    } else {
        for (size_t i = 0; i < shown_labels(run, n, 1); i++) {
            if (i > 0) putc('\t', run->out);
            cli_put_column(run->out, 0, label_of(run, order[i].index, scratch, sizeof scratch));
            fprintf(run->out, "\t%.6f", (double)order[i].score);
        }
        putc('\n', run->out);
    }
    return CLI_DONE;
}

cli_code run_classify(run_state *run, const retort_text *texts, size_t n) {
    size_t labels = (size_t)run->info.labels;
    float *scores = calloc(2 * n * labels, sizeof *scores), *logits = scores + n * labels;
    run_scored *order = calloc(labels, sizeof *order);
    cli_code code = scores != NULL && order != NULL ? CLI_DONE : cli_no_memory();
    retort_error err;
    if (code == CLI_DONE &&
        retort_classify(run->session, texts, n, scores, logits, n * labels, &err) != RETORT_OK) {
        code = run_fail(run, &err, n, false);
    }
    if (code == CLI_DONE) code = run_note_cuts(run, texts, n);
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        code = print_labels(run, &texts[i], scores + i * labels, logits + i * labels, order, labels,
                            run->cut[i]);
    }
    free(scores);
    free(order);
    return code;
}

static cli_code zero_shot(run_state *run, const retort_text *text, const retort_text *labels, float *scores,
                          run_scored *order) {
    retort_zero_shot_options options = RETORT_ZERO_SHOT_OPTIONS;
    retort_error err;
    size_t n = run->labels.count;
    options.hypothesis = cli_text(run->args, CLI_HYPOTHESIS);
    options.multi_label = cli_has(run->args, CLI_MULTI_LABEL);
    if (text->pair != NULL) {
        cli_error("text %zu: --labels takes no pairs: the hypothesis is the second text", run->first + 1);
        return CLI_BAD_DATA;
    }
    if (retort_zero_shot(run->session, text, labels, n, &options, scores, &err) != RETORT_OK)
        return run_fail(run, &err, 1, false);
    cli_code code = run_note_cuts(run, text, 1);
    return code == CLI_DONE ? print_labels(run, text, scores, NULL, order, n, run->cut[0]) : code;
}

cli_code run_zero_shot(run_state *run, const retort_text *texts, size_t n) {
    size_t count = run->labels.count, first = run->first;
    float *scores = calloc(count, sizeof *scores);
    run_scored *order = calloc(count, sizeof *order);
    retort_text *labels = calloc(count, sizeof *labels);
    bool fine = scores != NULL && order != NULL && labels != NULL;
    cli_code code = fine ? CLI_DONE : cli_no_memory();
    for (size_t i = 0; fine && i < count; i++)
        labels[i] = (retort_text){.text = run->labels.items[i], .length = strlen(run->labels.items[i])};
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        run->first = first + i;
        code = zero_shot(run, &texts[i], labels, scores, order);
    }
    free(labels);
    free(scores);
    free(order);
    return code;
}

static void print_vector(const run_state *run, const retort_text *text, const float *vector, size_t size) {
    size_t shown = run->drawn && size > 8 ? 8 : size;
    if (run->drawn) run_print_heading(run, text);
    for (size_t i = 0; i < shown; i++) {
        fprintf(run->out, "%s%.9g", i > 0 ? "\t" : run->drawn ? "  " : "", (double)vector[i]);
    }
    if (shown < size) fprintf(run->out, "\t… (%zu values)", size);
    fprintf(run->out, "\n");
}

cli_code run_vectors(run_state *run, const retort_text *texts, size_t n, float *vectors) {
    retort_error err;
    retort_status status = retort_embed(run->session, texts, n, vectors, n * (size_t)run->info.labels, &err);
    return status == RETORT_OK ? run_note_cuts(run, texts, n) : run_fail(run, &err, n, false);
}

/* Of a sparse vector, the pieces whose number is not 0, the largest first. Returns how many there are. */
static size_t find_pieces(const float *vector, size_t size, run_scored *order) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (vector[i] != 0) order[n++] = (run_scored){vector[i], i};
    }
    qsort(order, n, sizeof *order, run_compare_scored);
    return n;
}

static const char *piece_of(const run_state *run, size_t index) {
    const char *piece = retort_model_piece(run->model, (int32_t)index);
    return piece != NULL ? piece : "";
}

static cli_code put_cell(const run_state *run, json_t *answer, bool cut) {
    run_begin_cells(run, cut);
    return run_cell_json(run, answer);
}

static cli_code print_sparse_json(const run_state *run, const run_scored *order, size_t n, bool cut) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const char *piece = piece_of(run, order[i].index);
        json_array_append_new(list, json_pack("{s:I, s:o, s:o}", "index", (json_int_t)order[i].index, "piece",
                                              cli_json_text(piece, strlen(piece)), "value",
                                              cli_json_real(order[i].score)));
    }
    if (run->cells) return put_cell(run, list, cut);
    return cli_put_json(run->out, json_pack("{s:o, s:b}", "sparse", list, "truncated", cut));
}

static cli_code print_sparse(const run_state *run, const retort_text *text, const float *vector,
                             run_scored *order, bool cut) {
    size_t n = find_pieces(vector, (size_t)run->info.labels, order), shown = shown_labels(run, n, n);
    if (run->json || run->cells) return print_sparse_json(run, order, shown, cut);
    if (run->drawn) run_print_heading(run, text);
    for (size_t i = 0; i < shown; i++) {
        fputs(i > 0 ? "\t" : run->drawn ? "  " : "", run->out);
        cli_put_column(run->out, 0, piece_of(run, order[i].index));
        fprintf(run->out, "\t%.6f", (double)order[i].score);
    }
    putc('\n', run->out);
    return CLI_DONE;
}

static cli_code print_embedding(const run_state *run, const retort_text *text, const float *vector,
                                size_t size, bool cut) {
    if (run->cells) return put_cell(run, run_json_reals(vector, size), cut);
    if (run->json)
        return cli_put_json(
            run->out, json_pack("{s:o, s:b}", "embedding", run_json_reals(vector, size), "truncated", cut));
    print_vector(run, text, vector, size);
    return CLI_DONE;
}

cli_code run_embed(run_state *run, const retort_text *texts, size_t n) {
    size_t size = (size_t)run->info.labels;
    float *vectors = calloc(n * size, sizeof *vectors);
    run_scored *order = calloc(size, sizeof *order);
    bool fine = vectors != NULL && order != NULL;
    cli_code code = fine ? run_vectors(run, texts, n, vectors) : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        const float *vector = vectors + i * size;
        code = run->info.sparse ? print_sparse(run, &texts[i], vector, order, run->cut[i])
                                : print_embedding(run, &texts[i], vector, size, run->cut[i]);
    }
    free(order);
    free(vectors);
    return code;
}
