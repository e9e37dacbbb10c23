/* SPDX-License-Identifier: Apache-2.0
 * Classifies texts: classify MODEL.retort TEXT… */
#include <retort.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints the best label of one text with its score, then all of them. */
static void print_scores(const retort_model *model, const char *text, const float *scores) {
    const char *label;
    int64_t best = 0;
    for (int64_t i = 1; retort_model_label(model, i) != NULL; i++) best = scores[i] > scores[best] ? i : best;
    printf("%s: %s\n", text, retort_model_label(model, best));
    for (int64_t i = 0; (label = retort_model_label(model, i)) != NULL; i++) {
        printf("  %-20s %.4f\n", label, (double)scores[i]);
    }
}

static retort_status classify(retort_session *session, const retort_model *model, char **texts, size_t n,
                              retort_error *err) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    size_t labels = (size_t)info.labels;
    retort_text *batch = calloc(n, sizeof *batch);
    float *scores = calloc(n * labels, sizeof *scores); /* [n, labels] */
    retort_status status = batch != NULL && scores != NULL ? RETORT_OK : RETORT_NOMEM;
    for (size_t i = 0; status == RETORT_OK && i < n; i++) {
        batch[i] = (retort_text){.text = texts[i], .length = strlen(texts[i])};
    }
    if (status == RETORT_OK) status = retort_classify(session, batch, n, scores, NULL, n * labels, err);
    for (size_t i = 0; status == RETORT_OK && i < n; i++) print_scores(model, texts[i], scores + i * labels);
    free(scores);
    free(batch);
    return status;
}

int main(int argc, char **argv) {
    retort_error err = {.text = "out of memory"};
    retort_model *model = NULL;
    retort_session *session = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: classify MODEL.retort TEXT…\n");
        return 2;
    }
    retort_status status = retort_model_load(&model, argv[1], &err);
    if (status == RETORT_OK) status = retort_session_open(&session, model, NULL, &err);
    if (status == RETORT_OK) status = classify(session, model, argv + 2, (size_t)argc - 2, &err);
    if (status != RETORT_OK) fprintf(stderr, "classify: %s\n", err.text);
    retort_session_close(session);
    retort_model_free(model);
    return status == RETORT_OK ? 0 : 1;
}
