/* SPDX-License-Identifier: Apache-2.0
 * From a body to a job in the queue, and from its end to an answer. */
#ifndef SERVE_RUN_H
#define SERVE_RUN_H

#include "serve/wire/call.h"

/* Reads the body (followed by a NUL) and makes its job. False: the call failed, or needs no job. */
bool srv_call_ask(srv_call *call);
/* The same; then submits the job, whose `hold`, `done` and `fd` the caller has set. True: it waits in the
 * queue, and may be answered before this returns. */
bool srv_call_run(srv_call *call);
/* Sets the deadline from the server's time limit, or from a shorter one in ms that the client gives in
 * `header` (NULL: none). False: srv_call_fail has been called. */
bool srv_call_deadline(srv_call *call, const char *header, int64_t now);
/* Writes the answer, its first part, or an error, as the job has ended. */
void srv_call_answer(srv_call *call);
/* Appends the next parts of an incomplete answer. The call may fail. */
void srv_call_more(srv_call *call);

#endif
