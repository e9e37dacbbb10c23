/* SPDX-License-Identifier: Apache-2.0
 * The access log, written by a separate thread. */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include "retort.h"
#include "serve/http/request.h"

#include <math.h>
#include <stdatomic.h>

typedef struct srv_log srv_log;
/* *lost counts dropped lines. */
retort_status srv_log_open(srv_log **out, const char *path, atomic_ullong *lost, retort_error *err);
/* Opens the same path again: the file may have been moved away. */
void srv_log_reopen(srv_log *log);
/* Does not wait for a stopped reader. */
void srv_log_close(srv_log *log);
void srv_log_call(srv_log *log, const srv_request *request, const char *traceparent);

#endif
