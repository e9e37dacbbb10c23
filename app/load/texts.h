/* SPDX-License-Identifier: Apache-2.0
 * The texts that requests send. */
#ifndef LOAD_TEXTS_H
#define LOAD_TEXTS_H

#include "cli/options.h"
#include "cli/output.h"
#include "retort.h"

/* Texts of a file, or built from parts. */
typedef struct load_texts {
    retort_text *items;
    size_t count;
    char *buffer; /* what they point into; or NULL and: */
    retort_dataset *data;
} load_texts;
/* Reads --data, or makes the built-in texts. Errors are printed. */
cli_code load_texts_read(load_texts *out, const cli_args *args);
void load_texts_free(load_texts *texts);

#endif
