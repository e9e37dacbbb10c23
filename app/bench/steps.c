/* SPDX-License-Identifier: Apache-2.0
 * A plan's steps with the time of each. */
#include "bench/steps.h"
#include "bench/peak.h"
#include "cli/text.h"

#include <stdio.h>
#include <string.h>

/* What --peak adds to a step. */
static json_t *share_json(const retort_step_info *step, const retort_peaks *peaks, retort_memory memory) {
    step_share share = step_share_of(step, peaks, memory);
    return json_pack("{s:s, s:f, s:f, s:s, s:f, s:f}", "arithmetic", share.type, "ops_per_s",
                     share.operations, "of_peak", share.of_peak, "memory", bench_memory_names[memory],
                     "weight_bytes_per_s", share.weights, "of_read", share.of_read);
}

/* How a weight of fewer than 8 bits is read: "codes", "int8", or "int8 m>4": the codes for up to 4 rows. */
static const char *form_text(char *out, size_t size, const retort_step_info *step) {
    if (step->form == NULL) return "";
    if (step->codes_up_to == 0) return step->form;
    snprintf(out, size, "%s m>%zu", step->form, step->codes_up_to);
    return out;
}

json_t *bench_json_steps(retort_session *session, const retort_peaks *peaks) {
    json_t *steps = json_array();
    retort_step_info step = {.size = sizeof step};
    retort_memory memory = peaks != NULL ? bench_weights_memory(session, peaks) : RETORT_DRAM;
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++) {
        double ms = step.runs > 0 ? step.seconds / (double)step.runs * 1e3 : 0;
        json_t *json = json_pack("{s:s, s:o, s:s, s:s, s:I, s:f, s:f}", "op", step.op, "name",
                                 cli_json_text(step.name, strlen(step.name)), "kernel", step.kernel, "shape",
                                 step.shape, "weight_bytes", (json_int_t)step.weight_bytes, "flops_token",
                                 step.flops_token, "ms", ms);
        if (step.form != NULL)
            json_object_update_new(json, json_pack("{s:s, s:I}", "form", step.form, "codes_up_to",
                                                   (json_int_t)step.codes_up_to));
        json_t *share = peaks != NULL ? share_json(&step, peaks, memory) : NULL;
        if (share != NULL) json_object_update(json, share);
        json_decref(share);
        json_array_append_new(steps, json);
    }
    return steps;
}

static void print_share(const retort_step_info *step, const retort_peaks *peaks, retort_memory memory) {
    step_share share = step_share_of(step, peaks, memory);
    if (share.operations > 0) {
        printf(" %5s %9.1f %6.1f%%", share.type, share.operations * 1e-9, 100 * share.of_peak);
    } else {
        printf(" %5s %9s %7s", "", "", "");
    }
    if (share.weights > 0) printf(" %9.2f %6.1f%%", share.weights * 1e-9, 100 * share.of_read);
}

cli_code bench_print_steps(retort_session *session, const retort_peaks *peaks) {
    retort_step_info step = {.size = sizeof step};
    retort_memory memory = peaks != NULL ? bench_weights_memory(session, peaks) : RETORT_DRAM;
    double total = 0;
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++) total += step.seconds;
    printf("%-12s %-30s %-23s %-32s %10s %-8s %12s %9s %6s", "op", "name", "kernel", "shape", "weights",
           "form", "flops/token", "ms", "share");
    if (peaks != NULL) {
        printf(" %5s %9s %7s %9s %7s", "type", "GOP/s", "of peak", "GB/s", bench_memory_names[memory]);
    }
    printf("\n");
    for (size_t i = 0; retort_session_step(session, i, &step) == RETORT_OK; i++) {
        char bytes[32], form[32];
        printf("%-12s ", step.op);
        cli_put_column(stdout, 30, step.name);
        printf(" %-23s %-32s %10s %-8s %12.0f %9.4f %5.1f%%", step.kernel, step.shape,
               cli_bytes(bytes, sizeof bytes, step.weight_bytes), form_text(form, sizeof form, &step),
               step.flops_token, step.runs > 0 ? step.seconds / (double)step.runs * 1e3 : 0,
               total > 0 ? 100 * step.seconds / total : 0);
        if (peaks != NULL) print_share(&step, peaks, memory);
        printf("\n");
    }
    return CLI_DONE;
}
