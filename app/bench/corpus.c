/* SPDX-License-Identifier: Apache-2.0
 * The texts of a data file, tokenised, and whole passes over them. */
#include "bench/corpus.h"
#include "cli/model.h"
#include "cli/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void bench_corpus_free(bench_corpus *c) {
    retort_dataset_free(c->data);
    free(c->ids);
    free(c->types);
    free(c->starts);
    free(c->offsets);
}

bool bench_corpus_append(bench_corpus *c, const int32_t *ids, const int32_t *types, size_t n, size_t length,
                         int32_t pad) {
    size_t need = c->tokens + length;
    if (need > INT32_MAX) return false;
    if (c->ids == NULL || need > c->capacity) {
        size_t capacity = 2 * need + 64;
        int32_t *grown_ids = realloc(c->ids, capacity * sizeof *c->ids);
        if (grown_ids != NULL) c->ids = grown_ids;
        int32_t *grown_types = realloc(c->types, capacity * sizeof *c->types);
        if (grown_types != NULL) c->types = grown_types;
        if (grown_ids == NULL || grown_types == NULL) return false;
        c->capacity = capacity;
    }
    memcpy(c->ids + c->tokens, ids, n * sizeof *c->ids);
    memcpy(c->types + c->tokens, types, n * sizeof *c->types);
    for (size_t i = c->tokens + n; i < need; i++) {
        c->ids[i] = pad;
        c->types[i] = 0;
    }
    c->tokens = need;
    c->padding += length - n;
    c->starts[++c->count] = (int32_t)need;
    return true;
}

/* Row `index` of `count` that are taken of n: all of them in order, or multiples of the golden ratio, which leave no gap. */
static size_t row_of(size_t index, size_t count, size_t n) {
    static const double golden = 0.6180339887498949;
    double at = golden * (double)index;
    return count == n ? index : (size_t)((at - floor(at)) * (double)n);
}

/* `count` of the texts; `batch`: the largest number of texts per run. */
static cli_code tokenize(bench_corpus *c, const retort_model *model, int64_t max_length, size_t count,
                         size_t batch) {
    retort_error err;
    retort_text text;
    retort_tokens tokens = {0};
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    options.max_length = max_length;
    retort_info info = {.size = sizeof info};
    size_t n = retort_dataset_count(c->data);
    retort_model_info(model, &info);
    c->typed = info.types > 0;
    c->starts = calloc(count + 1, sizeof *c->starts);
    c->offsets = calloc(batch + 1, sizeof *c->offsets);
    cli_code code = c->starts != NULL && c->offsets != NULL ? CLI_DONE : cli_no_memory();
    for (size_t i = 0; code == CLI_DONE && i < count; i++) {
        retort_dataset_text(c->data, row_of(i, count, n), &text);
        if (retort_tokenize(model, &text, &options, &tokens, &err) != RETORT_OK) {
            code = cli_fail(&err, true);
        } else if (!bench_corpus_append(c, tokens.ids, tokens.types, tokens.count, tokens.count, 0)) {
            code = cli_no_memory();
        }
    }
    retort_tokens_free(&tokens);
    return code;
}

cli_code bench_corpus_read(bench_corpus *c, const cli_args *args, const retort_model *model, bool texts_only,
                           int64_t max_length, size_t batch) {
    cli_code code = cli_open_data(&c->data, args, model, texts_only);
    return code == CLI_DONE ? tokenize(c, model, max_length, retort_dataset_count(c->data), batch) : code;
}

static cli_code sample(bench_corpus *c, const retort_model *model, size_t most) {
    size_t n = retort_dataset_count(c->data), count = n < most ? n : most;
    return tokenize(c, model, -1, count, count);
}

cli_code bench_corpus_sample(bench_corpus *c, const cli_args *args, const retort_model *model, size_t most) {
    cli_code code = cli_open_data(&c->data, args, model, true);
    return code == CLI_DONE ? sample(c, model, most) : code;
}

cli_code bench_corpus_sample_of(bench_corpus *c, retort_dataset *data, const retort_model *model,
                                size_t most) {
    c->data = data;
    cli_code code = sample(c, model, most);
    c->data = NULL;
    return code;
}

cli_code bench_corpus_answer(bench_corpus *c, retort_session *session, size_t from, size_t to,
                             retort_matrix *rows) {
    retort_error err;
    int32_t first = c->starts[from];
    for (size_t i = from; i <= to; i++) c->offsets[i - from] = c->starts[i] - first;
    retort_batch batch = {c->ids + first, c->typed ? c->types + first : NULL, c->offsets, to - from};
    return retort_run(session, &batch, rows, &err) == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

cli_code bench_corpus_run(bench_corpus *c, retort_session *session, size_t from, size_t to) {
    retort_matrix rows;
    return bench_corpus_answer(c, session, from, to, &rows);
}

cli_code bench_corpus_pass(bench_corpus *c, retort_session *session, size_t batch, double *ms) {
    cli_code code = CLI_DONE;
    double start = cli_now();
    for (size_t from = 0, to; code == CLI_DONE && from < c->count; from = to) {
        to = c->count - from > batch ? from + batch : c->count;
        code = bench_corpus_run(c, session, from, to);
    }
    *ms = (cli_now() - start) * 1e3;
    return code;
}
