/* SPDX-License-Identifier: Apache-2.0
 * From a body to a job in the queue, and from its end to an answer. */
#ifndef SERVE_RUN_H
#define SERVE_RUN_H

#include "serve/wire/call.h"

/* Reads the body (followed by a NUL) and makes its job. False: there is none to wait for, or failed. */
bool srv_call_ask(srv_call *call);
/* The same, and puts the job in the queue, whose `hold`, `done` and `fd` are the caller's. True: it waits
 * there, and may be answered before this returns. */
bool srv_call_run(srv_call *call);
/* When the request is to be taken by, from the server's time limit or a shorter one that the client names in
 * `header` (NULL: none), in ms; false: srv_call_fail has been called. */
bool srv_call_deadline(srv_call *call, const char *header, int64_t now);
/* What became of the job: an answer, its first part or an error is written. */
void srv_call_answer(srv_call *call);
/* Appends the next part of an answer that is not whole. It may fail. */
void srv_call_more(srv_call *call);

#endif
