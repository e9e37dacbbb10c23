/* SPDX-License-Identifier: Apache-2.0
 * The bodies of errors, in the form of each protocol. */
#ifndef SERVE_ERROR_BODY_H
#define SERVE_ERROR_BODY_H

#include "serve/wire/call.h"

void srv_call_write_error(srv_call *call);
/* The answer of a call that ran out of memory for its answer. */
const char *srv_call_last_words(const srv_call *call);

#endif
