/* SPDX-License-Identifier: Apache-2.0
 * The low-level call: token ids in, logits out. Sequences of different lengths are concatenated without
 * padding. batch MODEL.retort TEXT… prints the tokens of each sequence and its first row of logits. */
#include <retort.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXTS = 64, MOST_TOKENS = 512 };

typedef struct buffers {
    int32_t ids[MOST_TEXTS * MOST_TOKENS];
    int32_t types[MOST_TEXTS * MOST_TOKENS];
    int32_t offsets[MOST_TEXTS + 1];
} buffers;

/* The tokens of all texts, concatenated. */
static retort_status tokenize(const retort_model *model, char **texts, size_t n, buffers *b,
                              retort_error *err) {
    retort_tokens tokens = {0};
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    options.max_length = info.max_length < MOST_TOKENS ? info.max_length : MOST_TOKENS;
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < n; i++) {
        retort_text text = {.text = texts[i], .length = strlen(texts[i])};
        status = retort_tokenize(model, &text, &options, &tokens, err);
        if (status != RETORT_OK) break;
        memcpy(b->ids + b->offsets[i], tokens.ids, tokens.count * sizeof *b->ids);
        memcpy(b->types + b->offsets[i], tokens.types, tokens.count * sizeof *b->types);
        b->offsets[i + 1] = b->offsets[i] + (int32_t)tokens.count;
    }
    retort_tokens_free(&tokens);
    return status;
}

static retort_status run(retort_session *session, const retort_model *model, char **texts, size_t n,
                         retort_error *err) {
    buffers *b = calloc(1, sizeof *b);
    if (b == NULL) return RETORT_NOMEM;
    retort_matrix rows;
    retort_status status = tokenize(model, texts, n, b, err);
    retort_batch batch = {.ids = b->ids, .types = b->types, .offsets = b->offsets, .n = n};
    if (status == RETORT_OK) status = retort_run(session, &batch, &rows, err);
    if (status == RETORT_OK) {
        for (size_t i = 0; i < n; i++)
            printf("%3d tokens: %s\n", b->offsets[i + 1] - b->offsets[i], texts[i]);
        printf("%zu rows of %zu logits\n", rows.rows, rows.columns);
        for (size_t j = 0; rows.rows > 0 && j < rows.columns; j++)
            printf("%s%.4f", j > 0 ? " " : "", (double)rows.data[j]);
        printf("\n");
    }
    free(b);
    return status;
}

int main(int argc, char **argv) {
    retort_error err = {.text = "out of memory"};
    retort_model *model = NULL;
    retort_session *session = NULL;
    if (argc < 3 || argc - 2 > MOST_TEXTS) {
        fprintf(stderr, "usage: batch MODEL.retort TEXT… (up to %d)\n", MOST_TEXTS);
        return 2;
    }
    retort_status status = retort_model_load(&model, argv[1], &err);
    if (status == RETORT_OK) status = retort_session_open(&session, model, NULL, &err);
    if (status == RETORT_OK) status = run(session, model, argv + 2, (size_t)argc - 2, &err);
    if (status != RETORT_OK) fprintf(stderr, "batch: %s\n", err.text);
    retort_session_close(session);
    retort_model_free(model);
    return status == RETORT_OK ? 0 : 1;
}
