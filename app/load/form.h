/* SPDX-License-Identifier: Apache-2.0
 * Requests in each wire form. */
#ifndef LOAD_FORM_H
#define LOAD_FORM_H

#include "cli/output.h"
#include "load/target.h"
#include "load/texts.h"

/* The bytes of every request, prepared in advance: sending is a copy. */
typedef struct load_requests {
    char *bytes;
    size_t *starts;      /* [count + 1] */
    size_t count, texts; /* texts per request */
} load_requests;
typedef struct load_wire {
    const char *form;   /* one of CLI_FORM's choices */
    const char *model;  /* its name in requests that contain one, or NULL */
    const char *header; /* "Name: value" to add, or NULL */
    size_t texts;       /* of a request */
} load_wire;
/* Sets the target's path to that of the form if it has none. Errors are printed. */
cli_code load_requests_make(load_requests *out, load_target *target, const load_wire *wire,
                            const load_texts *texts);
void load_requests_free(load_requests *requests);

#endif
