/* SPDX-License-Identifier: Apache-2.0
 * The members that an object of a request may have, a row each. A row is read, checked and described by
 * /openapi.json; a member without a row is refused by its name. */
#ifndef SERVE_FIELD_H
#define SERVE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a member may be, and what srv_fields_read writes to `at`, an offset in srv_ask. null is as if it were
 * not there. */
typedef enum srv_field_kind {
    SRV_FIELD_OWN,     /* the route's own function reads it */
    SRV_FIELD_BOOL,    /* a bool */
    SRV_FIELD_SWITCH,  /* a boolean that has no fixed default: a srv_switch */
    SRV_FIELD_WHOLE,   /* least … most: an int64_t */
    SRV_FIELD_CHOICE,  /* a word of `choices`, in any case: an int, 1 for the first one */
    SRV_FIELD_TEXT,    /* a string: a srv_slice */
    SRV_FIELD_STRINGS, /* a string or a list of strings: a const srv_json * */
    SRV_FIELD_UNUSED   /* what clients send and nothing depends on, for the reason in `help` */
} srv_field_kind;
typedef enum srv_switch { SRV_UNSAID, SRV_NO, SRV_YES } srv_switch;

typedef struct srv_field {
    const char *name;
    srv_field_kind kind;
    size_t at;
    int64_t least, most;
    const char *choices; /* "softmax|sigmoid|none" */
    bool required;
    const char *schema; /* as those of openapi.c are written; NULL: as the kind says */
    const char *help;
} srv_field;

/* An object, under the name of its schema; `fields` end with a row without a name. */
typedef struct srv_form {
    const char *name;
    const srv_field *fields;
} srv_form;

#endif
