/* SPDX-License-Identifier: Apache-2.0
 * Reading members of a body. False: srv_call_fail has been called. */
#ifndef SERVE_READ_H
#define SERVE_READ_H

#include "retort.h"
#include "serve/base/json.h"
#include "serve/wire/ask.h"
#include "serve/wire/call.h"

/* "inputs: expected a string, found a number" */
bool srv_call_wrong(srv_call *call, const char *name, const char *expected, const srv_json *found);
bool srv_read_int(srv_call *call, const srv_json *object, const char *name, int64_t min, int64_t max,
                  int64_t *out);
/* Add a text or a sequence of ids to the request; NULL: out of memory, or beyond the limit on items. */
retort_text *srv_add_text(srv_call *call);
srv_ids *srv_add_ids(srv_call *call);
bool srv_add_string(srv_call *call, const char *name, const srv_json *string);
bool srv_add_id_list(srv_call *call, const char *name, const srv_json *list);
/* Pairs the last text with this one. */
bool srv_add_pair(srv_call *call, const char *name, const srv_json *string);

#endif
