/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/prune.h"
#include "cli/layers.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "retort.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static cli_code read_options(retort_prune_options *options, const cli_args *args) {
    options->ffn = cli_has(args, CLI_PRUNE_FFN) ? cli_share(args, CLI_PRUNE_FFN) : 0;
    options->time = cli_has(args, CLI_PRUNE_TIME) ? cli_share(args, CLI_PRUNE_TIME) : 0;
    options->layers = (size_t)cli_int(args, CLI_PRUNE_LAYERS, 0);
    options->heads = cli_has(args, CLI_PRUNE_HEADS) ? cli_real(args, CLI_PRUNE_HEADS) : 0;
    options->samples = (size_t)cli_int(args, CLI_SAMPLES, 0);
    options->seed = (uint64_t)cli_int(args, CLI_SEED, 0);
    options->rounds = (size_t)cli_int(args, CLI_PRUNE_ROUNDS, 0);
    options->threads = (int)cli_int(args, CLI_THREADS, 0);
    options->progress = cli_progress;
    if (!cli_has(args, CLI_DATA)) {
        cli_error("prune: --data FILE is required: texts, which need no labels");
        return CLI_USAGE;
    }
    if (options->layers > 0 || options->heads > 0 || options->ffn > 0 || options->time > 0) return CLI_DONE;
    cli_error("prune: say what stays: --time 60%%, or --heads N, --ffn 50%%, --layers N");
    return CLI_USAGE;
}

static cli_code report(const cli_args *args, const retort_model *before, const retort_model *after,
                       const retort_prune_result *result, uint64_t bytes, double seconds) {
    retort_info old = {.size = sizeof old}, now = {.size = sizeof now};
    const char *output = cli_text(args, CLI_OUTPUT);
    char size[32];
    retort_model_info(before, &old);
    retort_model_info(after, &now);
    if (cli_has(args, CLI_JSON)) {
        return cli_print_json(json_pack(
            "{s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:o, s:o}", "output", cli_json_text(output, strlen(output)),
            "bytes", (json_int_t)bytes, "parameters_before", (json_int_t)old.parameters, "parameters",
            (json_int_t)now.parameters, "layers", cli_layers_json(after), "loss", cli_json_real(result->loss),
            "texts", (json_int_t)result->texts, "time", cli_json_real(result->time), "seconds",
            cli_json_real(seconds)));
    }
    cli_put_column(stdout, 0, output);
    printf(": %.1f of %.1f million parameters, %s, %.1f s\n", (double)now.parameters / 1e6,
           (double)old.parameters / 1e6, cli_bytes(size, sizeof size, bytes), seconds);
    cli_print_layers(after, "  ");
    printf("  mean loss of the answers (KL) on %zu of the texts %.3g", result->texts, result->loss);
    if (isfinite(result->time)) printf("; %.0f %% of the time as int8", 100 * result->time);
    if (cli_has(args, CLI_PRUNE_TIME) && result->time > 1.02 * cli_share(args, CLI_PRUNE_TIME))
        printf(", which is as far as it goes: each layer keeps a head and 64 columns; --layers removes whole "
               "ones");
    printf("\n  'retort train ");
    cli_put_column(stdout, 0, output);
    printf(" --teacher MODEL' wins back most of it\n");
    return CLI_DONE;
}

cli_code cmd_prune(const cli_args *args) {
    retort_model *model = NULL, *pruned = NULL;
    retort_dataset *data = NULL;
    retort_prune_options options = RETORT_PRUNE_OPTIONS;
    retort_prune_result result = {.size = sizeof result};
    retort_error err;
    uint64_t bytes = 0;
    cli_code code = read_options(&options, args);
    if (code != CLI_DONE) return code;
    cli_catch_interrupt(); /* no file is written then */
    code = cli_open_model(&model, args, args->words[0], 3);
    if (code == CLI_DONE) code = cli_open_data(&data, args, model, true);
    double start = cli_now();
    options.data = data;
    if (code == CLI_DONE && retort_model_prune(&pruned, model, &options, &result, &err) != RETORT_OK)
        code = cli_fail_making(&err);
    cli_progress_end();
    double seconds = cli_now() - start;
    if (code == CLI_DONE) code = cli_save_model(pruned, args, cli_text(args, CLI_OUTPUT), &bytes);
    if (code == CLI_DONE) code = report(args, model, pruned, &result, bytes, seconds);
    retort_dataset_free(data);
    retort_model_free(pruned);
    retort_model_free(model);
    return code;
}
