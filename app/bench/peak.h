/* SPDX-License-Identifier: Apache-2.0
 * The machine's peaks, and how near a step comes to them. */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

#include <jansson.h>

/* The machine's peaks at --isa and --threads. Errors are printed. */
cli_code bench_measure_peaks(retort_peaks *out, const cli_args *args);
void bench_print_peaks(const retort_peaks *peaks);
json_t *bench_json_peaks(const retort_peaks *peaks);
/* What a step reached, all threads together, and which part of the machine's peak that is. */
typedef struct step_share {
    const char *type;           /* whose peak it is: "f32", "bf16", "s8" or "s4" */
    double operations, of_peak; /* a second, of its type's peak; 0: none counted */
    double weights, of_read; /* bytes a second, of the reading rate of where they come from; 0: none read */
} step_share;
step_share step_share_of(const retort_step_info *step, const retort_peaks *peaks, retort_memory memory);
/* The smallest cache that holds all weights that a run reads, or DRAM. */
retort_memory bench_weights_memory(const retort_session *session, const retort_peaks *peaks);
extern const char *const bench_memory_names[];

#endif
