/* SPDX-License-Identifier: Apache-2.0
 * Files that verbs write beside models: plots, pages, logits, and temporary ones. */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include "cli/output.h"

#include <stdio.h>

/* A file to write to, NULL with the error printed; as with models, a link to no file is refused. */
FILE *cli_create(const char *path);
/* Closes what cli_create has opened (NULL: nothing); what could not be written whole is removed. */
cli_code cli_close(FILE *file, const char *path, cli_code code);
/* From now on SIGINT, SIGTERM and SIGHUP remove this file or folder (which is empty once those registered
 * after it are gone) before they end the process. */
void cli_remove_at_signal(const char *path);

#endif
