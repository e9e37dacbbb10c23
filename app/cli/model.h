/* SPDX-License-Identifier: Apache-2.0
 * Models, sessions and data sets, opened as the options say. */
#ifndef CLI_MODEL_H
#define CLI_MODEL_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

extern const char *const cli_task_names[];
/* *bytes: size of the file. Errors are printed. */
cli_code cli_save_model(const retort_model *model, const cli_args *args, const char *path, uint64_t *bytes);
/* Writes the model to --output as ONNX, as --for, --standard and --external-over say. Errors are printed. */
cli_code cli_export_model(const retort_model *model, const cli_args *args, retort_export_info *done);
/* Whether a name ends in ".onnx". */
bool cli_is_graph(const char *path);
/* Whether it is imported: a folder, or an .onnx file. */
bool cli_is_checkpoint(const char *path);
/* Opens a .retort file, or imports a checkpoint folder up to `level`; `path` may be a name
 * (cli_find_model). Errors are printed. */
cli_code cli_open_model(retort_model **out, const cli_args *args, const char *path, int level);
/* Refuses a --level below the model's. Errors are printed. */
cli_code cli_check_level(const retort_model *model, const cli_args *args);
/* The same; then rewrites the model up to --level, if that was given. */
cli_code cli_reach_level(retort_model **model, const cli_args *args);
/* --unpack. */
retort_unpack cli_unpack(const cli_args *args);
cli_code cli_open_session(retort_session **out, const cli_args *args, retort_model *model, bool profile);
/* The same with one thread, for a stream. */
cli_code cli_open_stream(retort_session **out, const cli_args *args, retort_model *model);
/* A session for the text of --query, with its prompt. */
cli_code cli_open_query(retort_session **out, const cli_args *args, retort_model *model);
/* A session in retort's own engine, whatever --provider says: a reference. */
cli_code cli_open_native(retort_session **out, const cli_args *args, retort_model *model);
cli_code cli_open_tapped(retort_session **out, const cli_args *args, retort_model *model, retort_tap_fn tap,
                         void *user);

/* The columns that the options name. */
retort_dataset_options cli_data_options(const cli_args *args);
/* Opens the file of --data ("-": standard input) with the columns that the options name; texts_only: does
 * not read labels. `model` may be NULL. Errors are printed. */
cli_code cli_open_data(retort_dataset **out, const cli_args *args, const retort_model *model,
                       bool texts_only);

#endif
