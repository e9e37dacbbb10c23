/* SPDX-License-Identifier: Apache-2.0
 * export: a model as ONNX. */
#include "cmd/export.h"
#include "cli/model.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static cli_code report(const cli_args *args, const retort_model *model, const retort_export_info *done,
                       double seconds) {
    retort_info info = {.size = sizeof info};
    const char *output = cli_text(args, CLI_OUTPUT);
    char size[32];
    retort_model_info(model, &info);
    if (cli_has(args, CLI_JSON)) {
        return cli_print_json(json_pack(
            "{s:o, s:s, s:i, s:I, s:I, s:b, s:o}", "output", cli_json_text(output, strlen(output)), "recipe",
            info.recipe, "level", info.level, "nodes", (json_int_t)done->nodes, "bytes",
            (json_int_t)done->bytes, "external", done->external, "seconds", cli_json_real(seconds)));
    }
    cli_put_column(stdout, 0, output);
    fputs(": ", stdout);
    cli_put_column(stdout, 0, info.recipe);
    printf(" of level %d, %zu ONNX nodes, %s%s, %.2f s\n", info.level, done->nodes,
           cli_bytes(size, sizeof size, done->bytes), done->external ? " with .data" : "", seconds);
    return CLI_DONE;
}

/* Whether a matrix has codes of 4 bits, or of fewer, which are written as 4. */
static bool has_four_bits(const retort_model *model) {
    retort_tensor_info tensor = {.size = sizeof tensor};
    for (size_t i = 0; retort_model_tensor(model, i, &tensor) == RETORT_OK; i++) {
        bool integers = strncmp(tensor.layout, "p16_s", 5) == 0;
        if (integers && strcmp(tensor.layout, "p16_s8") != 0) return true;
    }
    return false;
}

static cli_code check_standard(const cli_args *args, const retort_model *model) {
    if (!cli_has(args, CLI_STANDARD) || has_four_bits(model)) return CLI_DONE;
    cli_error(
        "--standard is for 4-bit matrices: '%s' has none, and everything else uses standard operators anyway",
        args->words[0]);
    return CLI_USAGE;
}

/* An ONNX graph pools every token of the attention mask: whoever puts prompts before texts must know. */
static void note_prompts(retort_model *model) {
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    retort_encoder *encoder = NULL;
    size_t unpooled;
    bool told = retort_encoder_open(&encoder, model, NULL) != RETORT_OK;
    for (size_t i = 0; !told && (options.prompt_name = retort_model_prompt(model, i, NULL)) != NULL; i++) {
        retort_status status = retort_encoder_unpooled(encoder, &options, &unpooled, NULL);
        told = status == RETORT_UNSUPPORTED || (status == RETORT_OK && unpooled > 0);
    }
    if (encoder != NULL && told)
        cli_warning(
            NULL, "the model does not pool the tokens of its prompts; its ONNX graph pools every token that "
                  "attention_mask counts, so give it no prompts");
    retort_encoder_close(encoder);
}

cli_code cmd_export(const cli_args *args) {
    retort_model *model = NULL;
    retort_export_info done = {.size = sizeof done};
    double start = cli_now();
    cli_code code = cli_open_model(&model, args, args->words[0], (int)cli_int(args, CLI_LEVEL, 3));
    if (code == CLI_DONE) code = cli_reach_level(&model, args);
    if (code == CLI_DONE) code = check_standard(args, model);
    if (code == CLI_DONE) code = cli_export_model(model, args, &done);
    if (code == CLI_DONE) note_prompts(model);
    if (code == CLI_DONE) code = report(args, model, &done, cli_now() - start);
    retort_model_free(model);
    return code;
}
