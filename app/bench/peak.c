/* SPDX-License-Identifier: Apache-2.0
 * The machine's peaks, and how close a step comes to them. */
#include "bench/peak.h"

#include <stdio.h>

const char *const bench_memory_names[] = {
    [RETORT_L1] = "l1", [RETORT_L2] = "l2", [RETORT_L3] = "l3", [RETORT_DRAM] = "dram"};

cli_code bench_measure_peaks(retort_peaks *out, const cli_args *args) {
    retort_error err;
    retort_status status =
        retort_machine_measure(cli_text(args, CLI_ISA), (int)cli_int(args, CLI_THREADS, 0), out, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

static json_t *rate_json(retort_rate rate) {
    return json_pack("{s:f, s:f}", "one", rate.one, "all", rate.all);
}

static json_t *peak_json(retort_rate rate, const char *kernel) {
    return json_pack("{s:f, s:f, s:s}", "one", rate.one, "all", rate.all, "kernel", kernel);
}

json_t *bench_json_peaks(const retort_peaks *peaks) {
    json_t *caches = json_object(), *read = json_object();
    for (int level = RETORT_L1; level <= RETORT_DRAM; level++) {
        json_object_set_new(read, bench_memory_names[level], rate_json(peaks->read[level]));
        if (level == RETORT_DRAM) break;
        json_object_set_new(caches, bench_memory_names[level],
                            json_integer((json_int_t)peaks->cache_bytes[level]));
    }
    return json_pack("{s:s, s:i, s:{s:o, s:o, s:o, s:o}, s:o, s:o, s:f, s:f, s:f}", "isa", peaks->isa,
                     "threads", peaks->threads, "ops_per_s", "s4", peak_json(peaks->s4, peaks->s4_kernel),
                     "s8", peak_json(peaks->s8, peaks->s8_kernel), "bf16",
                     peak_json(peaks->bf16, peaks->bf16_kernel), "f32",
                     peak_json(peaks->f32, peaks->f32_kernel), "read_bytes_per_s", read, "cache_bytes",
                     caches, "barrier_s", peaks->barrier, "wake_s", peaks->wake, "seconds", peaks->seconds);
}

static void print_peak(const char *type, retort_rate rate, const char *kernel) {
    printf("%-11s %10.1f %10.1f GOP/s  %s\n", type, rate.one * 1e-9, rate.all * 1e-9, kernel);
}

void bench_print_peaks(const retort_peaks *peaks) {
    char threads[32];
    snprintf(threads, sizeof threads, "%d thread%s", peaks->threads, peaks->threads == 1 ? "" : "s");
    printf("\npeak        %10s %10s        isa %s, measured in %.1f s\n", "1 thread", threads, peaks->isa,
           peaks->seconds);
    print_peak("int4", peaks->s4, peaks->s4_kernel);
    print_peak("int8", peaks->s8, peaks->s8_kernel);
    print_peak("bf16", peaks->bf16, peaks->bf16_kernel);
    print_peak("float", peaks->f32, peaks->f32_kernel);
    for (int level = RETORT_L1; level <= RETORT_DRAM; level++) {
        printf("read %-6s %10.1f %10.1f GB/s", bench_memory_names[level], peaks->read[level].one * 1e-9,
               peaks->read[level].all * 1e-9);
        if (level < RETORT_DRAM) printf("   %.0f KiB", (double)peaks->cache_bytes[level] / 1024);
        printf("\n");
    }
    printf("%-11s %10s %10.2f µs     until all threads have met\n", "barrier", "", peaks->barrier * 1e6);
    printf("%-11s %10s %10.2f µs     until sleeping threads have done nothing\n", "wake", "",
           peaks->wake * 1e6);
}

retort_memory bench_weights_memory(const retort_session *session, const retort_peaks *peaks) {
    retort_step_info step = {.size = sizeof step};
    uint64_t bytes = 0;
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++) {
        if (step.runs > 0) bytes += step.weights_read / step.runs;
    }
    for (int level = RETORT_L1; level < RETORT_DRAM; level++) {
        if (bytes <= peaks->cache_bytes[level]) return (retort_memory)level;
    }
    return RETORT_DRAM;
}

static retort_rate peak_of(const retort_step_info *step, const retort_peaks *peaks) {
    switch (step->arithmetic) {
    case RETORT_S8:
        return step->four_bits ? peaks->s4 : peaks->s8;
    case RETORT_BF16:
        return peaks->bf16;
    default:
        return peaks->f32;
    }
}

/* A step's seconds add up over all threads. */
step_share step_share_of(const retort_step_info *step, const retort_peaks *peaks, retort_memory memory) {
    step_share share = {.type = step->four_bits ? "s4" : retort_dtype_name(step->arithmetic)};
    if (step->seconds <= 0) return share;
    retort_rate peak = peak_of(step, peaks);
    double seconds = step->seconds / peaks->threads;
    share.operations = step->operations / seconds;
    share.of_peak = share.operations / peak.all;
    share.weights = (double)step->weights_read / seconds;
    share.of_read = share.weights / peaks->read[memory].all;
    return share;
}
