/* SPDX-License-Identifier: Apache-2.0
 * Batches of random ids. */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include "cli/output.h"
#include "retort.h"

/* n sequences of `seq` random ids, the same at each call; for fill models with a mask token. */
typedef struct bench_random {
    int32_t *ids, *offsets;
    retort_batch batch;
} bench_random;
cli_code bench_random_make(bench_random *out, const retort_model *model, size_t n, size_t seq);
void bench_random_free(bench_random *random);

#endif
