/* SPDX-License-Identifier: Apache-2.0
 * Batches of random ids. */
#include "bench/random.h"

#include <stdlib.h>

static void fill_random(bench_random *out, const retort_info *info, int32_t mask, size_t n, size_t seq) {
    enum { PLAIN = 1000 }; /* BERT's vocabularies have special and unused pieces below this */
    uint64_t state = 1;
    uint64_t low = info->vocab > 2 * PLAIN ? PLAIN : (uint64_t)info->vocab / 2;
    uint64_t range = (uint64_t)info->vocab - low;
    for (size_t i = 0; i < n * seq; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
        out->ids[i] = (int32_t)(low + (state >> 33) % range);
    }
    for (size_t i = 0; i <= n; i++) out->offsets[i] = (int32_t)(i * seq);
    for (size_t i = 0; mask >= 0 && i < n; i++) out->ids[i * seq + seq / 2] = mask;
}

cli_code bench_random_make(bench_random *out, const retort_model *model, size_t n, size_t seq) {
    retort_info info = {.size = sizeof info};
    *out = (bench_random){0};
    retort_model_info(model, &info);
    if (seq > (size_t)info.positions) {
        cli_error("--seq: %zu tokens exceed the model's %lld positions", seq, (long long)info.positions);
        return CLI_USAGE;
    }
    if (n * seq > INT32_MAX) {
        cli_error("--batch: %zu texts of %zu tokens are too many", n, seq);
        return CLI_USAGE;
    }
    out->ids = malloc(n * seq * sizeof *out->ids);
    out->offsets = malloc((n + 1) * sizeof *out->offsets);
    if (out->ids == NULL || out->offsets == NULL) {
        bench_random_free(out);
        return cli_no_memory();
    }
    fill_random(out, &info, info.task == RETORT_TASK_FILL ? info.mask : -1, n, seq);
    out->batch = (retort_batch){.ids = out->ids, .offsets = out->offsets, .n = n};
    return CLI_DONE;
}

void bench_random_free(bench_random *random) {
    free(random->ids);
    free(random->offsets);
    *random = (bench_random){0};
}
