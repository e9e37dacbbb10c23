/* SPDX-License-Identifier: Apache-2.0
 * The access log, which a thread of its own writes. */
#ifndef SERVE_LOG_H
#define SERVE_LOG_H

#include "retort.h"
#include "serve/http/request.h"

#include <math.h>
#include <stdatomic.h>

typedef struct srv_log srv_log;
/* *lost counts lines that are left out. */
retort_status srv_log_open(srv_log **out, const char *path, atomic_ullong *lost, retort_error *err);
/* The same path once more: somebody may have moved the file away. */
void srv_log_reopen(srv_log *log);
/* A reader that has stopped is not waited for. */
void srv_log_close(srv_log *log);
void srv_log_call(srv_log *log, const srv_request *request, const char *traceparent);

#endif
