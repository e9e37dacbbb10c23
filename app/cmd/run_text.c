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

typedef struct scored {
    float score;
    size_t index;
} scored;

/* Best first; ties in the order of their indices. */
static int compare_scored(const void *left, const void *right) {
    const scored *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->index < b->index ? -1 : 1;
}

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
static cli_code print_labels_json(const run_state *run, const scored *order, const float *logits, size_t n,
                                  bool cut) {
    json_t *labels = json_array();
    char scratch[32];
    for (size_t i = 0; i < shown_labels(run, n, n); i++) {
        const char *name = label_of(run, order[i].index, scratch, sizeof scratch);
        json_array_append_new(labels, json_pack("{s:o, s:o}", "label", cli_json_text(name, strlen(name)),
                                                "score", cli_json_real(order[i].score)));
    }
    return cli_print_json(json_pack("{s:o, s:o*, s:b}", "labels", labels, "logits",
                                    logits != NULL ? run_json_reals(logits, n) : NULL, "truncated", cut));
}

static void draw_labels(const run_state *run, const retort_text *text, const scored *order, size_t n) {
    enum { WIDTH = 30 };
    bool colours = cli_colours(stdout);
    char scratch[32];
    run_print_heading(text);
    for (size_t i = 0; i < n && i < run->top; i++) {
        int filled = (int)lroundf(WIDTH * fminf(fmaxf(order[i].score, 0), 1));
        fputs("  ", stdout);
        cli_put_column(stdout, 28, label_of(run, order[i].index, scratch, sizeof scratch));
        printf(" %8.4f %s", (double)order[i].score, colours ? i == 0 ? "\033[32m" : "\033[2m" : "");
        for (int j = 0; j < filled; j++) fputs("█", stdout);
        printf("%s\n", colours ? "\033[0m" : "");
    }
}

static cli_code print_labels(const run_state *run, const retort_text *text, const float *scores,
                             const float *logits, scored *order, size_t n, bool cut) {
    char scratch[32];
    for (size_t i = 0; i < n; i++) order[i] = (scored){scores[i], i};
    qsort(order, n, sizeof *order, compare_scored);
    if (run->json) return print_labels_json(run, order, logits, n, cut);
    if (run->drawn) {
        draw_labels(run, text, order, n);
    } else {
        for (size_t i = 0; i < shown_labels(run, n, 1); i++) {
            if (i > 0) putchar('\t');
            cli_put_column(stdout, 0, label_of(run, order[i].index, scratch, sizeof scratch));
            printf("\t%.6f", (double)order[i].score);
        }
        putchar('\n');
    }
    return CLI_DONE;
}

cli_code run_classify(run_state *run, const retort_text *texts, size_t n) {
    size_t labels = (size_t)run->info.labels;
    float *scores = calloc(2 * n * labels, sizeof *scores), *logits = scores + n * labels;
    scored *order = calloc(labels, sizeof *order);
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
                          scored *order) {
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
    scored *order = calloc(count, sizeof *order);
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
    if (run->drawn) run_print_heading(text);
    for (size_t i = 0; i < shown; i++) {
        printf("%s%.9g", i > 0 ? "\t" : run->drawn ? "  " : "", (double)vector[i]);
    }
    if (shown < size) printf("\t… (%zu values)", size);
    printf("\n");
}

static cli_code embed(run_state *run, const retort_text *texts, size_t n, float *vectors) {
    retort_error err;
    retort_status status = retort_embed(run->session, texts, n, vectors, n * (size_t)run->info.labels, &err);
    return status == RETORT_OK ? run_note_cuts(run, texts, n) : run_fail(run, &err, n, false);
}

cli_code run_embed(run_state *run, const retort_text *texts, size_t n) {
    size_t size = (size_t)run->info.labels;
    float *vectors = calloc(n * size, sizeof *vectors);
    cli_code code = vectors != NULL ? embed(run, texts, n, vectors) : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        const float *vector = vectors + i * size;
        if (run->json) {
            code = cli_print_json(
                json_pack("{s:o, s:b}", "embedding", run_json_reals(vector, size), "truncated", run->cut[i]));
        } else {
            print_vector(run, &texts[i], vector, size);
        }
    }
    free(vectors);
    return code;
}

/* ---- --query: all texts, best first ---- */

typedef struct ranking {
    scored *items;
    char **texts;
    size_t *lengths;
    bool *cut;
    size_t count, capacity;
} ranking;

static bool ranking_grow(ranking *r, size_t need) {
    if (need <= r->capacity) return true;
    size_t capacity = 2 * need;
    scored *items = realloc(r->items, capacity * sizeof *items);
    if (items != NULL) r->items = items;
    char **texts = realloc(r->texts, capacity * sizeof *texts);
    if (texts != NULL) r->texts = texts;
    size_t *lengths = realloc(r->lengths, capacity * sizeof *lengths);
    if (lengths != NULL) r->lengths = lengths;
    bool *cut = realloc(r->cut, capacity * sizeof *cut);
    if (cut != NULL) r->cut = cut;
    bool grown = items != NULL && texts != NULL && lengths != NULL && cut != NULL;
    if (grown) r->capacity = capacity;
    return grown;
}

static bool ranking_add(ranking *r, const retort_text *text, float score, bool cut) {
    char *copy = ranking_grow(r, r->count + 1) ? malloc(text->length + 1) : NULL;
    if (copy == NULL) return false;
    memcpy(copy, text->text, text->length);
    r->texts[r->count] = copy;
    r->lengths[r->count] = text->length;
    r->cut[r->count] = cut;
    r->items[r->count] = (scored){score, r->count};
    r->count++;
    return true;
}

static void ranking_free(ranking *r) {
    for (size_t i = 0; i < r->count; i++) free(r->texts[i]);
    free(r->texts);
    free(r->items);
    free(r->lengths);
    free(r->cut);
}

static cli_code rank_input(run_state *run, cli_input *input, retort_text *lines, size_t batch,
                           const float *query, float *vectors, ranking *r) {
    size_t size = (size_t)run->info.labels, n = 0;
    for (;;) {
        cli_code code = cli_input_take(input, lines, batch, &n);
        if (code != CLI_DONE || n == 0) return code;
        code = embed(run, lines, n, vectors);
        if (code != CLI_DONE) return code;
        for (size_t i = 0; i < n; i++) {
            float score = (float)retort_similarity(run->model, query, vectors + i * size);
            if (!ranking_add(r, &lines[i], score, run->cut[i])) return cli_no_memory();
        }
    }
}

static cli_code print_ranking(const run_state *run, ranking *r) {
    size_t shown = cli_has(run->args, CLI_TOP) && run->top < r->count ? run->top : r->count;
    if (r->count > 0) qsort(r->items, r->count, sizeof *r->items, compare_scored);
    for (size_t i = 0; i < shown; i++) {
        size_t index = r->items[i].index;
        if (!run->json) {
            printf("%.6f\t", (double)r->items[i].score);
            cli_put(stdout, r->texts[index], r->lengths[index]);
            putchar('\n');
            continue;
        }
        json_t *json = json_pack("{s:o, s:I, s:o, s:b}", "score", cli_json_real(r->items[i].score), "index",
                                 (json_int_t)index, "text", cli_json_text(r->texts[index], r->lengths[index]),
                                 "truncated", r->cut[index]);
        cli_code code = cli_print_json(json);
        if (code != CLI_DONE) return code;
    }
    return CLI_DONE;
}

/* The query's vector, in a separate session if it has a separate prompt. */
static cli_code embed_query(run_state *run, const retort_text *query, float *vector) {
    if (!cli_has(run->args, CLI_QUERY_PROMPT_NAME)) return embed(run, query, 1, vector);
    run_state own = *run;
    own.session = NULL;
    own.cuts = 0;
    cli_code code = cli_open_query(&own.session, run->args, run->model);
    if (code == CLI_DONE) code = embed(&own, query, 1, vector);
    run->cut_count = own.cut_count;
    retort_session_close(own.session);
    return code;
}

cli_code run_query(run_state *run, cli_input *input, size_t batch) {
    const char *query = cli_text(run->args, CLI_QUERY);
    retort_text text = {.text = query, .length = strlen(query)};
    size_t size = (size_t)run->info.labels;
    float *vectors = calloc((batch + 1) * size, sizeof *vectors); /* the query's comes first */
    retort_text *lines = calloc(batch, sizeof *lines);
    ranking r = {0};
    cli_code code = vectors != NULL && lines != NULL ? embed_query(run, &text, vectors) : cli_no_memory();
    if (code == CLI_DONE && run->cut_count > 0)
        cli_say("the query was truncated: the model reads at most %lld tokens",
                (long long)run->info.max_length);
    run->cut_count = 0; /* of the texts */
    if (code == CLI_DONE) code = rank_input(run, input, lines, batch, vectors, vectors + size, &r);
    if (code == CLI_DONE) code = print_ranking(run, &r);
    ranking_free(&r);
    free(lines);
    free(vectors);
    return code;
}
