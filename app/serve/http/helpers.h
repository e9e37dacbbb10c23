/* SPDX-License-Identifier: Apache-2.0
 * Threads that read long bodies. */
#ifndef SERVE_HELPERS_H
#define SERVE_HELPERS_H

#include "serve/http/request.h"

#include <stddef.h>

typedef struct srv_helpers srv_helpers;
srv_helpers *srv_helpers_open(size_t threads); /* NULL: out of memory or threads */
/* Has the body read; then the request's connection, which is suspended, resumes at once or by the queue. */
void srv_helpers_put(srv_helpers *helpers, srv_request *request);
/* When no requests are left. Accepts NULL. */
void srv_helpers_close(srv_helpers *helpers);

#endif
