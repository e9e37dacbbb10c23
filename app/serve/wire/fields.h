/* SPDX-License-Identifier: Apache-2.0
 * Reads the members of an object by their rows. */
#ifndef SERVE_FIELDS_H
#define SERVE_FIELDS_H

#include "serve/base/json.h"
#include "serve/wire/call.h"
#include "serve/wire/field.h"

/* Reads the members of `object` (NULL or null: none). `where` precedes their names in errors: "" or
 * "parameters.". False: srv_call_fail has been called. */
bool srv_fields_read(srv_call *call, const srv_form *form, const srv_json *object, const char *where);

#endif
