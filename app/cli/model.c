/* SPDX-License-Identifier: Apache-2.0
 * Opens what the verbs work on. */
#include "cli/model.h"
#include "cli/progress.h"
#include "cli/shipped.h"
#include "cli/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const cli_task_names[] = {
    [RETORT_TASK_CLASSIFY] = "classify", [RETORT_TASK_TAG] = "tag",     [RETORT_TASK_ANSWER] = "answer",
    [RETORT_TASK_FILL] = "fill",         [RETORT_TASK_EMBED] = "embed",
};

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool cli_is_graph(const char *path) {
    size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".onnx") == 0;
}

bool cli_is_checkpoint(const char *path) {
    return is_folder(path) || cli_is_graph(path);
}

static void set_task(retort_import_options *options, const char *name) {
    for (int task = RETORT_TASK_CLASSIFY; name != NULL && task <= RETORT_TASK_EMBED; task++) {
        if (strcmp(name, cli_task_names[task]) != 0) continue;
        options->task = (retort_task)task;
        options->force_task = true;
    }
}

static cli_code import_model(retort_model **out, const cli_args *args, const char *path, int level) {
    retort_import_options options = RETORT_IMPORT_OPTIONS;
    retort_error err;
    cli_names names;
    cli_vocabulary vocabulary;
    cli_code code = cli_split_names(&names, args, CLI_WITHOUT);
    if (code != CLI_DONE) return code;
    code = cli_open_vocabulary(&vocabulary, args, cli_data_options(args));
    if (code != CLI_DONE) {
        cli_names_free(&names);
        return code;
    }
    options.languages = cli_text(args, CLI_LANGUAGES);
    options.texts = vocabulary.texts;
    options.text_count = vocabulary.count;
    options.level = level;
    options.without = names.items;
    options.without_count = level > 0 ? names.count : 0; /* nothing is rewritten at level 0 */
    options.tokenizer = cli_text(args, CLI_TOKENIZER);
    options.progress = cli_progress;
    options.memory = cli_size(args, CLI_MEMORY);
    options.warning = cli_warning;
    if (strcmp(cli_text(args, CLI_DTYPE), "bf16") == 0) options.dtype = RETORT_BF16;
    set_task(&options, cli_text(args, CLI_TASK));
    retort_status status = retort_model_import(out, path, &options, &err);
    cli_progress_end();
    cli_names_free(&names);
    cli_close_vocabulary(&vocabulary);
    /* A refused argument comes from an option, not from the checkpoint. */
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, status != RETORT_ARGUMENT);
}

static retort_status load(retort_model **out, const cli_args *args, const char *path, retort_error *err) {
    retort_load_options options = RETORT_LOAD_OPTIONS;
    options.memory = cli_size(args, CLI_MEMORY);
    return retort_model_load_with(out, path, &options, err);
}

/* Options that only apply when a checkpoint is imported. */
static const cli_option_id of_imports[] = {CLI_TASK, CLI_TOKENIZER, CLI_DTYPE, CLI_LANGUAGES, CLI_TEXTS};

static cli_code open_path(retort_model **out, const cli_args *args, const char *path, int level) {
    retort_error err;
    if (cli_is_checkpoint(path)) return import_model(out, args, path, level);
    for (size_t i = 0; i < sizeof of_imports / sizeof *of_imports; i++) {
        if (!cli_takes(args->verb, (int)of_imports[i]) || !cli_has(args, of_imports[i])) continue;
        cli_error("--%s is for checkpoints: '%s' has been imported", cli_options[of_imports[i]].name, path);
        return CLI_USAGE;
    }
    return load(out, args, path, &err) == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}

cli_code cli_open_model(retort_model **out, const cli_args *args, const char *path, int level) {
    char *found;
    cli_code code = cli_find_model(&found, path);
    if (code == CLI_DONE) code = open_path(out, args, found, level);
    free(found);
    return code;
}

/* Rewrites cannot be undone: says what to do instead. */
static cli_code refuse_level(const cli_args *args, int has, int wanted) {
    static const cli_option_id outputs[] = {CLI_OUTPUT, CLI_SVG, CLI_GRAPH};
    char option[64] = "";
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        const cli_option *row = &cli_options[outputs[i]];
        if (!cli_takes(args->verb, (int)outputs[i]) || !cli_has(args, outputs[i])) continue;
        snprintf(option, sizeof option, "--%s %s%s", row->name, row->value, *row->value != '\0' ? " " : "");
        break;
    }
    cli_error("--level %d: the graph in '%s' is at level %d, and rewrites cannot be undone: use its "
              "checkpoint (retort %s CHECKPOINT %s--level %d), or import that with --level %d",
              wanted, args->words[0], has, args->verb->name, option, wanted, wanted);
    return CLI_USAGE;
}

cli_code cli_check_level(const retort_model *model, const cli_args *args) {
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    int wanted = (int)cli_int(args, CLI_LEVEL, 3);
    return wanted < info.level ? refuse_level(args, info.level, wanted) : CLI_DONE;
}

cli_code cli_reach_level(retort_model **model, const cli_args *args) {
    retort_model *higher = NULL;
    retort_error err;
    retort_optimize_options options = RETORT_OPTIMIZE_OPTIONS;
    if (!cli_has(args, CLI_LEVEL)) return CLI_DONE;
    cli_code code = cli_check_level(*model, args);
    if (code != CLI_DONE) return code;
    options.level = (int)cli_int(args, CLI_LEVEL, 3);
    if (retort_model_optimize(&higher, *model, &options, &err) != RETORT_OK) return cli_fail_making(&err);
    retort_model_free(*model);
    *model = higher;
    return CLI_DONE;
}

cli_code cli_save_model(const retort_model *model, const cli_args *args, const char *path, uint64_t *bytes) {
    retort_error err;
    retort_model *saved = NULL;
    if (retort_model_save(model, path, &err) != RETORT_OK) return cli_fail(&err, false);
    if (load(&saved, args, path, &err) != RETORT_OK) return cli_fail(&err, false);
    retort_info info = {.size = sizeof info};
    retort_model_info(saved, &info);
    *bytes = info.file_bytes;
    retort_model_free(saved);
    return CLI_DONE;
}

cli_code cli_export_model(const retort_model *model, const cli_args *args, retort_export_info *done) {
    retort_export_options options = RETORT_EXPORT_OPTIONS;
    retort_error err;
    const char *engine = cli_text(args, CLI_FOR);
    options.fused = engine != NULL && strcmp(engine, "ort") == 0;
    options.standard = cli_has(args, CLI_STANDARD);
    options.external_over = (uint64_t)cli_int(args, CLI_EXTERNAL_OVER, 0);
    retort_status status = retort_model_export(model, cli_text(args, CLI_OUTPUT), &options, done, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail_making(&err);
}

retort_unpack cli_unpack(const cli_args *args) {
    const char *name = cli_text(args, CLI_UNPACK);
    if (name == NULL || strcmp(name, "auto") == 0) return RETORT_UNPACK_AUTO;
    return strcmp(name, "always") == 0 ? RETORT_UNPACK_ALWAYS : RETORT_UNPACK_NEVER;
}

static retort_session_options session_options(const cli_args *args) {
    retort_session_options options = RETORT_SESSION_OPTIONS;
    options.provider = cli_text(args, CLI_PROVIDER);
    options.onnx = cli_text(args, CLI_ONNX);
    options.graph_level = cli_text(args, CLI_GRAPH_LEVEL);
    options.isa = cli_text(args, CLI_ISA);
    options.unpack = cli_unpack(args);
    options.threads = (int)cli_int(args, CLI_THREADS, 0);
    options.special_as_text = cli_has(args, CLI_SPECIAL_AS_TEXT);
    options.prompt_name = cli_text(args, CLI_PROMPT_NAME);
    options.keep_duplicates = cli_has(args, CLI_KEEP_DUPLICATES);
    return options;
}

cli_code cli_open_session(retort_session **out, const cli_args *args, retort_model *model, bool profile) {
    retort_error err;
    retort_session_options options = session_options(args);
    options.profile = profile;
    retort_status status = retort_session_open(out, model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

cli_code cli_open_stream(retort_session **out, const cli_args *args, retort_model *model) {
    retort_error err;
    retort_session_options options = session_options(args);
    options.threads = 1;
    retort_status status = retort_session_open(out, model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

cli_code cli_open_query(retort_session **out, const cli_args *args, retort_model *model) {
    retort_error err;
    retort_session_options options = session_options(args);
    options.prompt_name = cli_text(args, CLI_QUERY_PROMPT_NAME);
    retort_status status = retort_session_open(out, model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

cli_code cli_open_native(retort_session **out, const cli_args *args, retort_model *model) {
    retort_error err;
    retort_session_options options = session_options(args);
    options.provider = NULL;
    options.onnx = NULL;
    options.graph_level = NULL;
    retort_status status = retort_session_open(out, model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

cli_code cli_open_tapped(retort_session **out, const cli_args *args, retort_model *model, retort_tap_fn tap,
                         void *user) {
    retort_error err;
    retort_session_options options = session_options(args);
    options.tap = tap;
    options.tap_user = user;
    retort_status status = retort_session_open(out, model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, false);
}

retort_dataset_options cli_data_options(const cli_args *args) {
    retort_dataset_options options = RETORT_DATASET_OPTIONS;
    options.text_column = cli_text(args, CLI_TEXT_COLUMN);
    options.pair_column = cli_text(args, CLI_TEXT_PAIR_COLUMN);
    options.label_column = cli_text(args, CLI_LABEL_COLUMN);
    options.label_separator = cli_text(args, CLI_LABEL_SEPARATOR);
    return options;
}

cli_code cli_open_data(retort_dataset **out, const cli_args *args, const retort_model *model,
                       bool texts_only) {
    retort_error err;
    retort_dataset_options options = cli_data_options(args);
    const char *path = cli_text(args, CLI_DATA);
    options.texts_only = texts_only;
    if (strcmp(path, "-") == 0) path = "/dev/stdin";
    retort_status status = retort_dataset_open(out, path, model, &options, &err);
    return status == RETORT_OK ? CLI_DONE : cli_fail(&err, true);
}
