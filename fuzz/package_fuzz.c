/* SPDX-License-Identifier: Apache-2.0
 * A .retort file from memory. What loads is verified, and can be optimised and freed. */
#include "graph/package.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    retort_model *model, *next;
    retort_error err;
    uint8_t *aligned = rt_alloc_aligned(size); /* as a mapping is */
    if (aligned == NULL) return 0;
    memcpy(aligned, data, size);
    if (rt_package_parse(&model, "fuzz", aligned, size, &err) == RETORT_OK) {
        if (rt_graph_verify(&model->graph, &err) != RETORT_OK) abort();
        if (rt_package_optimize(&next, model, 3, NULL, NULL, &err) == RETORT_OK) retort_model_free(next);
        retort_model_free(model);
    }
    free(aligned);
    return 0;
}
