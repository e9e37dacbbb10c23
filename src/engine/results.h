/* SPDX-License-Identifier: Apache-2.0
 * Result rows in the order of the caller: without padding, and with the rows of duplicate sequences. */
#ifndef RT_ENGINE_RESULTS_H
#define RT_ENGINE_RESULTS_H

#include "engine/prepare.h"

typedef struct rt_results {
    const rt_plan *plan;
    const rt_prepared *batch;
    float *out; /* [places[sequences], output_columns] */
} rt_results;

/* rt_work.finish: copies the result rows of a finished chunk to their places. */
void rt_results_put(void *results, size_t chunk, const rt_worker *worker);
/* After all chunks: copies the rows of duplicate sequences. */
void rt_results_repeat(const rt_results *results);

#endif
