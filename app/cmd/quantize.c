/* SPDX-License-Identifier: Apache-2.0
 * quantize: weights to integers; dequantize: back to floats. */
#include "cmd/quantize.h"
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static cli_code quantize(retort_model **out, const cli_args *args, const retort_model *model,
                         const retort_dataset *data) {
    retort_quantize_options options = RETORT_QUANTIZE_OPTIONS;
    retort_error err;
    cli_names names;
    cli_code code = cli_split_names(&names, args, CLI_KEEP);
    if (code != CLI_DONE) return code;
    options.recipe = cli_text(args, CLI_RECIPE);
    options.bits = (int)cli_int(args, CLI_BITS, 0);
    options.group = cli_int(args, CLI_GROUP, 0);
    options.embeddings = (int)cli_int(args, CLI_EMBEDDINGS, 0);
    if (cli_has(args, CLI_ACTIVATIONS)) {
        bool fixed = strcmp(cli_text(args, CLI_ACTIVATIONS), "static") == 0;
        options.activations = fixed ? RETORT_ACTIVATIONS_STATIC : RETORT_ACTIVATIONS_DYNAMIC;
    }
    options.data = data;
    options.samples = (size_t)cli_int(args, CLI_SAMPLES, 0);
    options.seed = (uint64_t)cli_int(args, CLI_SEED, 0);
    if (cli_has(args, CLI_WEAK_COLUMNS)) options.weak_columns = (size_t)cli_int(args, CLI_WEAK_COLUMNS, 0);
    options.progress = cli_progress;
    options.warning = cli_warning;
    options.memory = cli_size(args, CLI_MEMORY);
    options.keep = names.items;
    options.keep_count = names.count;
    if (retort_model_quantize(out, model, &options, &err) != RETORT_OK) code = cli_fail_making(&err);
    cli_progress_end();
    cli_names_free(&names);
    return code;
}

static cli_code open_data(retort_dataset **out, const cli_args *args, const retort_model *model) {
    return cli_has(args, CLI_DATA) ? cli_open_data(out, args, model, true) : CLI_DONE;
}

/* Bytes of all tensors: the size of the model without its vocabulary. */
static uint64_t tensor_bytes(const retort_model *model) {
    uint64_t bytes = 0;
    retort_tensor_info tensor = {.size = sizeof tensor};
    for (size_t i = 0; retort_model_tensor(model, i, &tensor) == RETORT_OK; i++) bytes += tensor.bytes;
    return bytes;
}

static cli_code report(const cli_args *args, const retort_model *before, const retort_model *after,
                       uint64_t bytes, double seconds) {
    retort_info info = {.size = sizeof info};
    const char *output = cli_text(args, CLI_OUTPUT);
    char size[32];
    retort_model_info(after, &info);
    uint64_t old = tensor_bytes(before), now = tensor_bytes(after);
    if (cli_has(args, CLI_JSON)) {
        return cli_print_json(json_pack(
            "{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "output", cli_json_text(output, strlen(output)),
            "recipe", info.recipe, "nodes", (json_int_t)info.nodes, "parameters", (json_int_t)info.parameters,
            "weight_bytes_before", (json_int_t)old, "weight_bytes", (json_int_t)now, "bytes",
            (json_int_t)bytes, "seconds", cli_json_real(seconds)));
    }
    cli_put_column(stdout, 0, output);
    printf(": %s, %.1f million parameters at %.2f bits, %s, %.2f s\n", info.recipe,
           (double)info.parameters / 1e6, 8 * (double)now / (double)info.parameters,
           cli_bytes(size, sizeof size, bytes), seconds);
    return CLI_DONE;
}

cli_code cmd_quantize(const cli_args *args) {
    retort_model *model = NULL, *integer = NULL;
    retort_dataset *data = NULL;
    uint64_t bytes = 0;
    cli_catch_interrupt(); /* no file is written then */
    cli_code code = cli_open_model(&model, args, args->words[0], 3);
    if (code == CLI_DONE) code = open_data(&data, args, model);
    double start = cli_now();
    if (code == CLI_DONE) code = quantize(&integer, args, model, data);
    double seconds = cli_now() - start;
    if (code == CLI_DONE) code = cli_save_model(integer, args, cli_text(args, CLI_OUTPUT), &bytes);
    if (code == CLI_DONE) code = report(args, model, integer, bytes, seconds);
    retort_dataset_free(data);
    retort_model_free(integer);
    retort_model_free(model);
    return code;
}

cli_code cmd_dequantize(const cli_args *args) {
    retort_model *model = NULL, *floats = NULL;
    retort_error err;
    uint64_t bytes = 0;
    cli_code code = cli_open_model(&model, args, args->words[0], 3);
    double start = cli_now();
    if (code == CLI_DONE && retort_model_dequantize(&floats, model, &err) != RETORT_OK)
        code = cli_fail(&err, true);
    double seconds = cli_now() - start;
    if (code == CLI_DONE) code = cli_save_model(floats, args, cli_text(args, CLI_OUTPUT), &bytes);
    if (code == CLI_DONE) code = report(args, model, floats, bytes, seconds);
    retort_model_free(floats);
    retort_model_free(model);
    return code;
}
