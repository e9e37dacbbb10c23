/* SPDX-License-Identifier: Apache-2.0 */
#include "load/saturate.h"
#include "load/run.h"

#include <stdlib.h>

/* Over a few seconds, the counting error is up to 2 %. */
static bool is_sustained(const load_result *result) {
    const double min = 0.98;
    double due = (double)result->requests;
    return due > 0 && (double)result->good >= min * due && (double)result->answered >= min * due;
}

cli_code load_saturate(const load_plan *plan, load_show_fn show, void *user, double *rate) {
    load_plan step = *plan;
    load_result *result = malloc(sizeof *result);
    double low = 0, high = 0;
    cli_code code = result != NULL ? CLI_DONE : cli_no_memory();
    *rate = 0;
    step.rate = 0; /* a closed loop first: its rate is the upper bound */
    for (int i = 0; i < LOAD_STEPS && code == CLI_DONE; i++) {
        code = load_run(result, &step);
        if (code == CLI_DONE) code = show(user, result);
        if (code != CLI_DONE || *plan->stop != 0) break;
        if (i == 0) {
            high = 1.1 * load_answers_per_second(result);
        } else if (is_sustained(result)) {
            low = *rate = step.rate;
        } else {
            high = step.rate;
        }
        if (high <= 0 || (low > 0 && high < 1.03 * low)) break;
        step.rate = low > 0 ? (low + high) / 2 : 0.85 * high;
    }
    free(result);
    return code;
}
