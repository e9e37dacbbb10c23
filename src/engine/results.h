/* SPDX-License-Identifier: Apache-2.0
 * Result rows in the caller's order: padding left behind, and duplicate sequences filled in. */
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
/* When all chunks are done: sequences that equal an earlier one get its rows. */
void rt_results_repeat(const rt_results *results);

#endif
