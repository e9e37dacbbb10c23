/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cascade_stages.h"
#include "cli/output.h"
#include "cli/stats.h"

#include <math.h>
#include <stdio.h>

const char *cascade_stage_name(retort_stage_kind kind) {
    static const char *const names[] = {
        [RETORT_STAGE_LINEAR] = "linear", [RETORT_STAGE_STUDENT] = "student", [RETORT_STAGE_FULL] = "full"};
    return names[kind];
}

/* The two-sided 95 % interval of the agreement. */
static void agreement(uint64_t differ, uint64_t n, double *value, double *low, double *high) {
    double least, most;
    retort_binomial(differ, n, 0.975, &least, &most);
    *value = n > 0 ? 1 - (double)differ / (double)n : NAN;
    *low = 1 - most;
    *high = 1 - least;
}

static void print_stages(const retort_model *model) {
    retort_stage_info stage = {.size = sizeof stage};
    for (size_t i = 0; retort_model_stage(model, i, &stage) == RETORT_OK; i++) {
        printf("            %-8s ", cascade_stage_name(stage.kind));
        if (stage.layers > 0) printf("%2lld layers, ", (long long)stage.layers);
        printf("%s, %.1f million parameters: answers %.1f %%", stage.recipe, (double)stage.parameters / 1e6,
               100 * stage.share);
        if (!isnan(stage.tested_share)) printf(" (held out %.1f %%)", 100 * stage.tested_share);
        if (stage.kind != RETORT_STAGE_FULL) printf(", if it is sure to %.6f", stage.threshold);
        printf("\n");
    }
}

void cascade_print(const retort_model *model) {
    retort_cascade_info info = {.size = sizeof info};
    double value, low, high, bound;
    char text[CLI_INTERVAL];
    if (retort_model_cascade(model, &info) != RETORT_OK) return;
    printf("cascade     %zu stages; with %g %% confidence, at most %g %% of the answers differ from the full "
           "model's\n",
           info.stages, 100 * info.confidence, 100 * info.epsilon);
    print_stages(model);
    retort_binomial(info.calibrated_differ, info.calibrated, info.confidence, NULL, &bound);
    printf("calibrated  %llu texts, of which %llu answers differ: at most %.3f %%",
           (unsigned long long)info.calibrated, (unsigned long long)info.calibrated_differ, 100 * bound);
    printf("; %llu others ordered the thresholds", (unsigned long long)info.ordered);
    if (info.trained > 0) printf(", %llu trained the linear stage", (unsigned long long)info.trained);
    agreement(info.tested_differ, info.tested, &value, &low, &high);
    cli_interval(text, "%.*f", cli_decimals(100 * low, 100 * high), 100 * value, 100 * low, 100 * high);
    printf("\nheld out    %llu texts: %s %% of the answers are the full model's (95 %%)\n",
           (unsigned long long)info.tested, text);
}

json_t *cascade_json(const retort_model *model) {
    retort_cascade_info info = {.size = sizeof info};
    retort_stage_info stage = {.size = sizeof stage};
    double value, low, high, bound;
    if (retort_model_cascade(model, &info) != RETORT_OK) return NULL;
    json_t *stages = json_array();
    for (size_t i = 0; retort_model_stage(model, i, &stage) == RETORT_OK; i++) {
        json_array_append_new(
            stages,
            json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "kind", cascade_stage_name(stage.kind), "recipe",
                      stage.recipe, "layers", (json_int_t)stage.layers, "parameters",
                      (json_int_t)stage.parameters, "threshold", cli_json_real(stage.threshold), "share",
                      cli_json_real(stage.share), "tested_share", cli_json_real(stage.tested_share)));
    }
    retort_binomial(info.calibrated_differ, info.calibrated, info.confidence, NULL, &bound);
    agreement(info.tested_differ, info.tested, &value, &low, &high);
    return json_pack("{s:f, s:f, s:o, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:o, s:o}", "epsilon",
                     info.epsilon, "confidence", info.confidence, "stages", stages, "trained",
                     (json_int_t)info.trained, "ordered", (json_int_t)info.ordered, "calibrated",
                     (json_int_t)info.calibrated, "calibrated_differ", (json_int_t)info.calibrated_differ,
                     "bound", cli_json_real(bound), "tested", (json_int_t)info.tested, "tested_differ",
                     (json_int_t)info.tested_differ, "agreement", cli_json_real(value), "agreement_low",
                     cli_json_real(low), "agreement_high", cli_json_real(high));
}
