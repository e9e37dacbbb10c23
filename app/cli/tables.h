/* SPDX-License-Identifier: Apache-2.0
 * What the name of a file says about the table in it. */
#ifndef CLI_TABLES_H
#define CLI_TABLES_H

#include "cli/codec.h"
#include "cli/output.h"
#include "retort.h"

#include <stdbool.h>

extern const char *const cli_table_names[]; /* by retort_table_format: "tsv", … */
/* By .tsv, .csv, .jsonl or .ndjson, before the ending of a codec; false: by none of these. */
bool cli_table_of(const char *path, retort_table_format *format);
/* Refuses formats that are not read, and says how to convert them. */
cli_code cli_table_check(const char *path);

#endif
