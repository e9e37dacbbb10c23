/* SPDX-License-Identifier: Apache-2.0
 * run --query: all texts, best first. */
#include "cmd/run_query.h"
#include "cli/model.h"
#include "cli/options.h"
#include "cli/text.h"
#include "cmd/run_lines.h"
#include "cmd/run_text.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ranking {
    run_scored *items;
    char **texts;
    size_t *lengths;
    bool *cut;
    size_t count, capacity;
} ranking;

static bool ranking_grow(ranking *r, size_t need) {
    if (need <= r->capacity) return true;
    size_t capacity = 2 * need;
    run_scored *items = realloc(r->items, capacity * sizeof *items);
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
    r->items[r->count] = (run_scored){score, r->count};
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

/* What a run leaves of a text. */
typedef struct rated {
    float score;
    bool cut;
} rated;

static cli_code rate(run_state *run, const retort_text *texts, size_t n) {
    size_t size = (size_t)run->info.labels;
    float *vectors = calloc(n * size, sizeof *vectors);
    cli_code code = vectors != NULL ? run_vectors(run, texts, n, vectors) : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        rated one = {0};
        one.score = (float)retort_similarity(run->model, run->query, vectors + i * size, size);
        one.cut = run->cut[i];
        fwrite(&one, sizeof one, 1, run->out);
    }
    free(vectors);
    return code;
}

/* A cross-encoder's score of the query with each text: of its one label, or of the second. */
static cli_code rate_pairs(run_state *run, const retort_text *texts, size_t n) {
    size_t labels = (size_t)run->info.labels;
    float *scores = calloc(n * labels, sizeof *scores);
    retort_text *pairs = calloc(n, sizeof *pairs);
    retort_error err;
    cli_code code = scores != NULL && pairs != NULL ? CLI_DONE : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < n; i++)
        pairs[i] = (retort_text){run->asked.text, run->asked.length, texts[i].text, texts[i].length};
    if (code == CLI_DONE &&
        retort_classify(run->session, pairs, n, scores, NULL, n * labels, &err) != RETORT_OK)
        code = run_fail(run, &err, n, false);
    if (code == CLI_DONE) code = run_note_cuts(run, pairs, n);
    for (size_t i = 0; code == CLI_DONE && i < n; i++) {
        rated one = {0};
        one.score = scores[i * labels + labels - 1];
        one.cut = run->cut[i];
        fwrite(&one, sizeof one, 1, run->out);
    }
    free(scores);
    free(pairs);
    return code;
}

static cli_code add_part(void *user, const cli_part *part) {
    for (size_t i = 0; i < part->output_length / sizeof(rated); i++) {
        rated one;
        memcpy(&one, part->output + i * sizeof one, sizeof one);
        if (!ranking_add(user, &part->texts[i], one.score, one.cut)) return cli_no_memory();
    }
    return CLI_DONE;
}

static cli_code print_ranking(const run_state *run, ranking *r) {
    size_t shown = cli_has(run->args, CLI_TOP) && run->top < r->count ? run->top : r->count;
    if (r->count > 0) qsort(r->items, r->count, sizeof *r->items, run_compare_scored);
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
    if (!cli_has(run->args, CLI_QUERY_PROMPT_NAME)) return run_vectors(run, query, 1, vector);
    run_state own = *run;
    own.session = NULL;
    own.cuts = 0;
    cli_code code = cli_open_query(&own.session, run->args, run->model);
    if (code == CLI_DONE) code = run_vectors(&own, query, 1, vector);
    run->cut_count = own.cut_count;
    retort_session_close(own.session);
    return code;
}

/* Makes the runner that compares vectors with that of the query, which the caller frees. */
static cli_code compare_vectors(run_state *run, const retort_text *query, float **vector) {
    *vector = calloc((size_t)run->info.labels, sizeof **vector);
    cli_code code = *vector != NULL ? embed_query(run, query, *vector) : cli_no_memory();
    if (code == CLI_DONE && run->cut_count > 0)
        cli_say("the query was truncated: the model reads at most %lld tokens",
                (long long)run->info.max_length);
    run->cut_count = 0; /* of the texts */
    run->query = *vector;
    run->runner = rate;
    return code;
}

cli_code run_query(run_state *run, cli_input *input) {
    const char *query = cli_text(run->args, CLI_QUERY);
    retort_text text = {.text = query, .length = strlen(query)};
    float *vector = NULL;
    ranking r = {0};
    run->asked = text;
    run->runner = rate_pairs;
    cli_code code = run->info.task == RETORT_TASK_EMBED ? compare_vectors(run, &text, &vector) : CLI_DONE;
    if (code == CLI_DONE) code = run_lines(run, input, add_part, &r);
    if (code == CLI_DONE) code = print_ranking(run, &r);
    ranking_free(&r);
    free(vector);
    return code;
}
