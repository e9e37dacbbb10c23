/* SPDX-License-Identifier: Apache-2.0
 * A .retort file from memory. What loads is verified, runs on a small batch, and can be
 * optimised and freed. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Three sequences of 1, 3 and 2 tokens. */
static void run(retort_model *model) {
    static const int32_t ids[] = {2, 2, 5, 3, 4, 3}, types[] = {0, 0, 0, 1, 0, 0}, offsets[] = {0, 1, 4, 6};
    retort_session_options options = RETORT_SESSION_OPTIONS;
    retort_session *session;
    retort_batch batch = {.ids = ids, .offsets = offsets, .n = 3};
    retort_matrix out;
    retort_error err;
    options.threads = 1;
    batch.types = model->config.types > 1 ? types : NULL;
    if (retort_session_open(&session, model, &options, &err) != RETORT_OK) return;
    if (retort_run(session, &batch, &out, &err) == RETORT_OK) {
        volatile float sum = 0;
        for (size_t i = 0; i < out.rows * out.columns; i++) sum += out.data[i];
    }
    retort_session_close(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const retort_optimize_options level3 = RETORT_OPTIMIZE_OPTIONS;
    retort_model *model, *next;
    retort_error err;
    uint8_t *aligned = rt_alloc_aligned(size); /* as a mapping is */
    if (aligned == NULL) return 0;
    memcpy(aligned, data, size);
    if (rt_model_parse(&model, "fuzz", aligned, size, &err) == RETORT_OK) {
        if (rt_graph_verify(&model->graph, &err) != RETORT_OK) abort();
        run(model);
        if (rt_model_optimize(&next, model, &level3, &err) == RETORT_OK) {
            run(next);
            retort_model_free(next);
        }
        retort_model_free(model);
    }
    free(aligned);
    return 0;
}
