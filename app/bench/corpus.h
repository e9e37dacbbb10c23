/* SPDX-License-Identifier: Apache-2.0
 * The texts of a data file, tokenised, and whole passes over them. */
#ifndef BENCH_CORPUS_H
#define BENCH_CORPUS_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

/* The texts of a data file, tokenised. Start with {0}; free it even after a failure. */
typedef struct bench_corpus {
    retort_dataset *data;
    int32_t *ids, *types, *starts; /* starts: [count + 1] */
    int32_t *offsets;              /* [batch + 1] of the current batch */
    size_t count, tokens, capacity;
    size_t padding; /* of the tokens */
    bool typed;     /* the model has token types */
} bench_corpus;
/* Reads --data; max_length as in retort_tokenize_options; `batch`: the largest number of texts per run.
 * Errors are printed. */
cli_code bench_corpus_read(bench_corpus *c, const cli_args *args, const retort_model *model, bool texts_only,
                           int64_t max_length, size_t batch);
/* Up to `most` texts of --data, spread over all of it: so is each of the first ones. They run at once, up to all of them. */
cli_code bench_corpus_sample(bench_corpus *c, const cli_args *args, const retort_model *model, size_t most);
/* The same of data that are open already, and stay open. */
cli_code bench_corpus_sample_of(bench_corpus *c, retort_dataset *data, const retort_model *model,
                                size_t most);
/* Adds a text of n tokens, padded to `length`. */
bool bench_corpus_append(bench_corpus *c, const int32_t *ids, const int32_t *types, size_t n, size_t length,
                         int32_t pad);
/* Run texts from…to, with their results or without, and all texts in batches. Errors are printed. */
cli_code bench_corpus_run(bench_corpus *c, retort_session *session, size_t from, size_t to);
cli_code bench_corpus_answer(bench_corpus *c, retort_session *session, size_t from, size_t to,
                             retort_matrix *rows);
cli_code bench_corpus_pass(bench_corpus *c, retort_session *session, size_t batch, double *ms);
void bench_corpus_free(bench_corpus *c);

#endif
