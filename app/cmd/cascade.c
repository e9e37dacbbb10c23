/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cascade.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "cmd/cascade_stages.h"
#include "retort.h"

#include <stdio.h>
#include <string.h>

/* What a cascade is made of. */
typedef struct cascade_parts {
    retort_model *full, *students[CLI_MOST];
    size_t student_count;
    retort_dataset *data, *test, *linear_data;
} cascade_parts;

static void parts_close(cascade_parts *parts) {
    for (size_t i = 0; i < parts->student_count; i++) retort_model_free(parts->students[i]);
    retort_dataset_free(parts->data);
    retort_dataset_free(parts->test);
    retort_dataset_free(parts->linear_data);
    retort_model_free(parts->full);
}

static cli_code check_options(const cli_args *args) {
    double epsilon = cli_share(args, CLI_EPSILON), confidence = cli_share(args, CLI_CONFIDENCE);
    if (!cli_has(args, CLI_DATA)) {
        cli_error("cascade: --data is required");
    } else if (args->list_count == 0 && !cli_has(args, CLI_LINEAR)) {
        cli_error("cascade: no stage: give --linear, --stage or both");
    } else if (epsilon < 1e-6 || epsilon >= 0.5) {
        cli_error("--epsilon: '%s': expected from 0.0001%% to below 50%%; with 0 only MODEL could answer",
                  cli_text(args, CLI_EPSILON));
    } else if (confidence < 0.5 || confidence >= 1) {
        cli_error("--confidence: '%s': expected from 50%% to below 100%%", cli_text(args, CLI_CONFIDENCE));
    } else {
        return CLI_DONE;
    }
    return CLI_USAGE;
}

/* Texts of another file than --data. Errors are printed. */
static cli_code open_texts(retort_dataset **out, const cli_args *args, cli_option_id id,
                           const retort_model *model) {
    retort_dataset_options options = cli_data_options(args);
    retort_error err;
    options.texts_only = true;
    if (!cli_has(args, id) ||
        retort_dataset_open(out, cli_text(args, id), model, &options, &err) == RETORT_OK)
        return CLI_DONE;
    return cli_fail(&err, true);
}

static cli_code parts_open(cascade_parts *parts, const cli_args *args) {
    cli_code code = cli_open_model(&parts->full, args, args->words[0], 3);
    for (size_t i = 0; code == CLI_DONE && i < args->list_count; i++) {
        code = cli_open_model(&parts->students[i], args, args->list[i], 3);
        if (code == CLI_DONE) parts->student_count++;
    }
    if (code == CLI_DONE) code = cli_open_data(&parts->data, args, parts->full, true);
    if (code == CLI_DONE) code = open_texts(&parts->test, args, CLI_CASCADE_TEST, parts->full);
    return code == CLI_DONE ? open_texts(&parts->linear_data, args, CLI_LINEAR_DATA, parts->full) : code;
}

static cli_code make(retort_model **out, const cli_args *args, const cascade_parts *parts) {
    retort_cascade_options options = RETORT_CASCADE_OPTIONS;
    retort_error err;
    options.data = parts->data;
    options.linear_data = parts->linear_data;
    options.test = parts->test;
    options.students = parts->students;
    options.student_count = parts->student_count;
    options.linear = cli_has(args, CLI_LINEAR);
    options.epsilon = cli_share(args, CLI_EPSILON);
    options.confidence = cli_share(args, CLI_CONFIDENCE);
    options.seed = (uint64_t)cli_int(args, CLI_CASCADE_SEED, 0);
    options.threads = (int)cli_int(args, CLI_THREADS, 0);
    options.isa = cli_text(args, CLI_ISA);
    options.progress = cli_progress;
    options.warning = cli_warning;
    retort_status status = retort_cascade(out, parts->full, &options, &err);
    cli_progress_end();
    if (status == RETORT_OK) return CLI_DONE;
    cli_code code = cli_fail(&err, true);
    return status == RETORT_LIMIT ? CLI_BELOW_FLOOR : code;
}

static cli_code report(const cli_args *args, const retort_model *cascade, uint64_t bytes, double seconds) {
    const char *output = cli_text(args, CLI_OUTPUT);
    char size[32];
    if (cli_has(args, CLI_JSON)) {
        json_t *json = cascade_json(cascade);
        json_object_set_new(json, "output", cli_json_text(output, strlen(output)));
        json_object_set_new(json, "bytes", json_integer((json_int_t)bytes));
        json_object_set_new(json, "seconds", cli_json_real(seconds));
        return cli_print_json(json);
    }
    cli_put_column(stdout, 0, output);
    printf(": %s, %.2f s\n", cli_bytes(size, sizeof size, bytes), seconds);
    cascade_print(cascade);
    return CLI_DONE;
}

cli_code cmd_cascade(const cli_args *args) {
    cascade_parts parts = {0};
    retort_model *cascade = NULL;
    uint64_t bytes = 0;
    cli_catch_interrupt(); /* no file is written then */
    cli_code code = check_options(args);
    if (code == CLI_DONE) code = parts_open(&parts, args);
    double start = cli_now();
    if (code == CLI_DONE) code = make(&cascade, args, &parts);
    double seconds = cli_now() - start;
    if (code == CLI_DONE) code = cli_save_model(cascade, args, cli_text(args, CLI_OUTPUT), &bytes);
    if (code == CLI_DONE) code = report(args, cascade, bytes, seconds);
    retort_model_free(cascade);
    parts_close(&parts);
    return code;
}
