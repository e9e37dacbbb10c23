/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/results.h"

#include <string.h>

/* Result rows of a sequence. */
static void copy_rows(const rt_results *r, size_t sequence, const float *from) {
    size_t columns = r->plan->output_columns, place = (size_t)r->batch->places[sequence];
    size_t rows = (size_t)r->batch->places[sequence + 1] - place;
    memcpy(r->out + place * columns, from, rows * columns * sizeof *from);
}

void rt_results_put(void *results, size_t index, const rt_worker *worker) {
    const rt_results *r = results;
    const rt_chunk *chunk = &r->batch->chunks[index];
    const uint32_t *sequences = r->batch->distinct.first + r->batch->first_sequence[index];
    const float *from = rt_place_at(&r->plan->output, worker);
    for (size_t b = 0; b < chunk->batch; b++) {
        const size_t row[] = {[RT_ROW_SET_TOKENS] = (size_t)chunk->starts[b],
                              [RT_ROW_SET_SEQUENCES] = b,
                              [RT_ROW_SET_MASK_TOKENS] = (size_t)chunk->mask_token_starts[b]};
        copy_rows(r, sequences[b], from + row[r->plan->output_rows] * r->plan->output_columns);
    }
}

void rt_results_repeat(const rt_results *r) {
    const rt_distinct *distinct = &r->batch->distinct;
    for (size_t i = 0; distinct->count < r->batch->sequences && i < r->batch->sequences; i++) {
        size_t first = distinct->first[distinct->same[i]];
        if (first == i) continue;
        copy_rows(r, i, r->out + (size_t)r->batch->places[first] * r->plan->output_columns);
    }
}
