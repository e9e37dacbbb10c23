/* SPDX-License-Identifier: Apache-2.0
 * Files that verbs write beside models: plots, pages, logits, and temporary ones. */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include "cli/options.h"
#include "cli/output.h"

#include <stdio.h>

/* Opens a file for writing; NULL if that failed, with the error printed. As with models, a dangling link
 * is refused. */
FILE *cli_create(const char *path);
/* Closes a file from cli_create, which may be NULL; removes it if not all of it could be written. */
cli_code cli_close(FILE *file, const char *path, cli_code code);
/* Whether a file can be written beside `path` and renamed to it: asked before long work. Errors are printed. */
cli_code cli_check_writable(const char *path);
/* Whether two paths lead to one file. */
bool cli_is_same_file(const char *a, const char *b);
/* Whether it exists and is no regular file. */
bool cli_is_device(const char *path);
/* Refuses to write over a file that the options read, and one file twice. Errors are printed. */
cli_code cli_keep_inputs(const cli_args *args);
/* From now on, SIGINT, SIGTERM and SIGHUP remove this file before they end the process; or this folder,
 * which must be empty once the paths registered after it are gone. */
void cli_remove_at_signal(const char *path);

#endif
