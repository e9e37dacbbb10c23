/* SPDX-License-Identifier: Apache-2.0
 * Reading members as their rows say. */
#ifndef SERVE_FIELDS_H
#define SERVE_FIELDS_H

#include "serve/base/json.h"
#include "serve/wire/call.h"
#include "serve/wire/field.h"

/* Reads the members of `object` (NULL or null: none). `where` stands before their names in errors: "" or
 * "parameters.". False: srv_call_fail has been called. */
bool srv_fields_read(srv_call *call, const srv_form *form, const srv_json *object, const char *where);

#endif
