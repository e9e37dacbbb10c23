/* SPDX-License-Identifier: Apache-2.0
 * import and optimize: checkpoints and graphs to models. */
#include "cmd/import.h"
#include "cli/model.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "cli/vocabulary.h"
#include "retort.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static cli_code report_import(const cli_args *args, const retort_model *model, uint64_t bytes,
                              double seconds) {
    retort_info info = {.size = sizeof info};
    char size[32];
    retort_model_info(model, &info);
    const char *output = cli_text(args, CLI_OUTPUT);
    if (cli_has(args, CLI_JSON)) {
        json_t *vocabulary = cli_restriction_json(model);
        return cli_print_json(json_pack(
            "{s:o, s:s, s:s, s:i, s:I, s:I, s:I, s:o, s:o*}", "output", cli_json_text(output, strlen(output)),
            "task", cli_task_names[info.task], "recipe", info.recipe, "level", info.level, "nodes",
            (json_int_t)info.nodes, "parameters", (json_int_t)info.parameters, "bytes", (json_int_t)bytes,
            "seconds", cli_json_real(seconds), "vocabulary", vocabulary));
    }
    cli_put_column(stdout, 0, output);
    printf(": %s, %s, %.1f million parameters, %zu nodes at level %d, %s, %.2f s\n",
           cli_task_names[info.task], info.recipe, (double)info.parameters / 1e6, info.nodes, info.level,
           cli_bytes(size, sizeof size, bytes), seconds);
    cli_print_restriction(model);
    return CLI_DONE;
}

static cli_code check_without(const cli_args *args) {
    if (!cli_has(args, CLI_WITHOUT) || cli_int(args, CLI_LEVEL, 3) > 0) return CLI_DONE;
    cli_error("--without has no effect at --level 0, where nothing is rewritten");
    return CLI_USAGE;
}

cli_code cmd_import(const cli_args *args) {
    retort_model *model = NULL;
    uint64_t bytes = 0;
    int level = (int)cli_int(args, CLI_LEVEL, 3);
    double start = cli_now();
    if (strcmp(cli_text(args, CLI_DTYPE), "bf16") == 0 && level != 3) {
        cli_error("--dtype bf16 needs --level 3");
        return CLI_USAGE;
    }
    cli_code code = check_without(args);
    if (code == CLI_DONE) code = cli_open_model(&model, args, args->words[0], level);
    if (code == CLI_DONE) code = cli_check_level(model, args);
    if (code == CLI_DONE) code = cli_save_model(model, args, cli_text(args, CLI_OUTPUT), &bytes);
    if (code == CLI_DONE) code = report_import(args, model, bytes, cli_now() - start);
    retort_model_free(model);
    return code;
}

/* What the rewrites report: lines, or arrays of one JSON object. */
typedef struct report {
    bool json;
    json_t *levels, *rewrites;
} report;

static void take_rewrite(void *user, const retort_rewrite_info *info) {
    report *r = user;
    if (!r->json) {
        if (info->rewrite == NULL) {
            printf("level %d: nodes %zu -> %zu\n", info->level, info->nodes_before, info->nodes_after);
        } else {
            printf("  %-18s %-22s %4zu times, nodes %zu -> %zu\n", info->rewrite, info->help, info->count,
                   info->nodes_before, info->nodes_after);
        }
        return;
    }
    json_t *row = json_pack("{s:i, s:I, s:I, s:I}", "level", info->level, "count", (json_int_t)info->count,
                            "nodes_before", (json_int_t)info->nodes_before, "nodes_after",
                            (json_int_t)info->nodes_after);
    if (info->rewrite != NULL) {
        json_object_set_new(row, "rewrite", json_string(info->rewrite));
        json_object_set_new(row, "help", json_string(info->help));
    }
    json_array_append_new(info->rewrite != NULL ? r->rewrites : r->levels, row);
}

static cli_code check_output(const cli_args *args) {
    const char *output = cli_text(args, CLI_OUTPUT);
    if (!cli_has(args, CLI_FOR) || cli_is_graph(output)) return CLI_DONE;
    cli_error("--for is for ONNX files: '%s' does not end in .onnx", output);
    return CLI_USAGE;
}

/* Saves the model in the format of its name: .onnx, or .retort, which has no ONNX nodes. */
static cli_code save(const cli_args *args, const retort_model *model, retort_export_info *done) {
    *done = (retort_export_info){.size = sizeof *done};
    if (cli_is_graph(cli_text(args, CLI_OUTPUT))) return cli_export_model(model, args, done);
    return cli_save_model(model, args, cli_text(args, CLI_OUTPUT), &done->bytes);
}

static cli_code report_optimize(const cli_args *args, const retort_model *before, const retort_model *after,
                                const retort_export_info *done, report *r) {
    retort_info old = {.size = sizeof old}, new = {.size = sizeof new};
    const char *output = cli_text(args, CLI_OUTPUT);
    char size[32];
    const char *warning;
    size_t known = 0;
    while (retort_model_warning(before, known) != NULL) known++;
    for (; (warning = retort_model_warning(after, known)) != NULL; known++) cli_warning(NULL, warning);
    retort_model_info(before, &old);
    retort_model_info(after, &new);
    if (r->json) {
        return cli_print_json(json_pack(
            "{s:o, s:i, s:I, s:I, s:I, s:I, s:I, s:O, s:O}", "output", cli_json_text(output, strlen(output)),
            "level", new.level, "nodes_before", (json_int_t)old.nodes, "nodes_after", (json_int_t) new.nodes,
            "onnx_nodes_before", (json_int_t)old.source_nodes, "onnx_nodes_after", (json_int_t)done->nodes,
            "bytes", (json_int_t)done->bytes, "levels", r->levels, "rewrites", r->rewrites));
    }
    cli_put_column(stdout, 0, output);
    printf(": level %d, nodes %zu -> %zu, %s\n", new.level, old.nodes, new.nodes,
           cli_bytes(size, sizeof size, done->bytes));
    if (old.source_nodes > 0) printf("ONNX nodes read: %zu\n", old.source_nodes);
    if (done->nodes > 0) printf("ONNX nodes written: %zu\n", done->nodes);
    return CLI_DONE;
}

static cli_code optimize(retort_model **out, const cli_args *args, const retort_model *model, report *r) {
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    retort_error err;
    cli_names names;
    cli_code code = cli_split_names(&names, args, CLI_WITHOUT);
    if (code != CLI_DONE) return code;
    options.level = (int)cli_int(args, CLI_LEVEL, 3);
    options.without = names.items;
    options.without_count = names.count;
    options.memory = cli_size(args, CLI_MEMORY);
    options.report = take_rewrite;
    options.user = r;
    if (retort_model_optimize(out, model, &options, &err) != RETORT_OK) code = cli_fail_making(&err);
    cli_names_free(&names);
    return code;
}

cli_code cmd_optimize(const cli_args *args) {
    retort_model *model = NULL, *optimised = NULL;
    retort_export_info done = {.size = sizeof done};
    report r = {cli_has(args, CLI_JSON), json_array(), json_array()};
    cli_code code = check_without(args);
    if (code == CLI_DONE) code = check_output(args);
    if (code == CLI_DONE) code = cli_open_model(&model, args, args->words[0], 0);
    if (code == CLI_DONE) code = cli_check_level(model, args);
    if (code == CLI_DONE) code = optimize(&optimised, args, model, &r);
    if (code == CLI_DONE) code = save(args, optimised, &done);
    if (code == CLI_DONE) code = report_optimize(args, model, optimised, &done, &r);
    json_decref(r.levels);
    json_decref(r.rewrites);
    retort_model_free(optimised);
    retort_model_free(model);
    return code;
}
