/* SPDX-License-Identifier: Apache-2.0
 * The machine's peaks, and how close a step comes to them. */
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
/* What all threads together reached in a step, and its share of the machine's peak. */
typedef struct step_share {
    const char *type;           /* dtype of the peak: "f32", "bf16", "s8" or "s4" */
    double operations, of_peak; /* per second, and as a share of the dtype's peak; 0: none counted */
    double weights, of_read;    /* bytes per second, and as a share of the memory's bandwidth; 0: none read */
} step_share;
step_share step_share_of(const retort_step_info *step, const retort_peaks *peaks, retort_memory memory);
/* The smallest cache that holds all weights read by a run, or DRAM. */
retort_memory bench_weights_memory(const retort_session *session, const retort_peaks *peaks);
extern const char *const bench_memory_names[];

#endif
