/* SPDX-License-Identifier: Apache-2.0
 * The texts that requests send. */
#ifndef LOAD_TEXTS_H
#define LOAD_TEXTS_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

/* Texts of a file or, without one, made up from parts. */
typedef struct load_texts {
    retort_text *items;
    size_t count;
    char *buffer; /* that they point into, or: */
    retort_dataset *data;
} load_texts;
/* Of --data, else built-in texts. Errors are printed. */
cli_code load_texts_read(load_texts *out, const cli_args *args);
void load_texts_free(load_texts *texts);

#endif
