/* SPDX-License-Identifier: Apache-2.0
 * The members that an object of a request may have, one row each. Rows drive reading, checks and
 * /openapi.json; a member without a row is refused by name. */
#ifndef SERVE_FIELD_H
#define SERVE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kind of a member, and what srv_fields_read writes to `at`, an offset in srv_ask. null counts as
 * absent. */
typedef enum srv_field_kind {
    SRV_FIELD_OWN,     /* read by the route's own function */
    SRV_FIELD_BOOL,    /* a bool */
    SRV_FIELD_SWITCH,  /* a boolean without a fixed default: a srv_switch */
    SRV_FIELD_WHOLE,   /* min … max: an int64_t */
    SRV_FIELD_CHOICE,  /* a word of `choices`, case-insensitive: an int, 1 for the first one */
    SRV_FIELD_TEXT,    /* a string: a srv_slice */
    SRV_FIELD_STRINGS, /* a string or a list of strings: a const srv_json * */
    SRV_FIELD_UNUSED   /* sent by clients but without effect, for the reason in `help` */
} srv_field_kind;
typedef enum srv_switch { SRV_UNSAID, SRV_NO, SRV_YES } srv_switch;

typedef struct srv_field {
    const char *name;
    srv_field_kind kind;
    size_t at;
    int64_t min, max;
    const char *choices; /* "softmax|sigmoid|none" */
    bool required;
    const char *schema; /* written like those in openapi.c; NULL: that of the kind */
    const char *help;
} srv_field;

/* An object with the name of its schema; `fields` end with a row without a name. */
typedef struct srv_form {
    const char *name;
    const srv_field *fields;
} srv_form;

#endif
