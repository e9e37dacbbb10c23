/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/accuracy.h"
#include "cli/model.h"
#include "cli/progress.h"

#include <string.h>

retort_status bench_evaluate(bench_run *c, const bench_engine *reference, retort_error *err) {
    retort_dataset *data = NULL;
    retort_dataset_options columns = cli_data_options(c->args);
    const char *path = cli_text(c->args, CLI_DATA);
    if (strcmp(path, "-") == 0) path = "/dev/stdin";
    retort_status status = retort_dataset_open(&data, path, reference->model, &columns, err);
    for (size_t i = 0; status == RETORT_OK && i < c->count; i++) {
        retort_eval_result result = {.size = sizeof result};
        retort_eval_options options = RETORT_EVAL_OPTIONS;
        bench_engine *it = &c->items[i];
        if (it->session == NULL) continue;
        cli_progress(NULL, "evaluating", i, c->count);
        options.reference = it != reference ? reference->session : NULL;
        status = retort_eval(it->session, data, &options, &result, err);
        if (status != RETORT_OK) break;
        c->metric = result.metric;
        it->value = result.value;
        it->kl = result.kl;
    }
    cli_progress_end();
    retort_dataset_free(data);
    return status;
}
