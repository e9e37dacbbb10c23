/* SPDX-License-Identifier: Apache-2.0
 * The similarity of two sentences, as the model measures it: embed MODEL.retort SENTENCE SENTENCE */
#include <retort.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static retort_status compare(retort_session *session, const retort_model *model, char **texts,
                             retort_error *err) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    size_t size = (size_t)info.labels;
    float *vectors = calloc(2 * size, sizeof *vectors); /* [2, size] */
    if (vectors == NULL) return RETORT_NOMEM;
    retort_text batch[2] = {{.text = texts[0], .length = strlen(texts[0])},
                            {.text = texts[1], .length = strlen(texts[1])}};
    retort_status status = retort_embed(session, batch, 2, vectors, 2 * size, err);
    if (status == RETORT_OK) printf("%.4f\n", retort_similarity(model, vectors, vectors + size, size));
    free(vectors);
    return status;
}

int main(int argc, char **argv) {
    retort_error err = {.text = "out of memory"};
    retort_model *model = NULL;
    retort_session *session = NULL;
    if (argc != 4) {
        fprintf(stderr, "usage: embed MODEL.retort SENTENCE SENTENCE\n");
        return 2;
    }
    retort_status status = retort_model_load(&model, argv[1], &err);
    if (status == RETORT_OK) status = retort_session_open(&session, model, NULL, &err);
    if (status == RETORT_OK) status = compare(session, model, argv + 2, &err);
    if (status != RETORT_OK) fprintf(stderr, "embed: %s\n", err.text);
    retort_session_close(session);
    retort_model_free(model);
    return status == RETORT_OK ? 0 : 1;
}
