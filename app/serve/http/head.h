/* SPDX-License-Identifier: Apache-2.0
 * Checks of a request's head. */
#ifndef SERVE_HEAD_H
#define SERVE_HEAD_H

#include "serve/http/request.h"

#include <stdbool.h>

/* Records a request's target before it is unescaped. */
void srv_head_target(srv_request *request, const char *target);
/* The path of a target, which may include the server: "http://host/path". */
const char *srv_head_path(const char *path);
/* Whether the head is unambiguous, and the body's encoding is supported. False: srv_call_fail has been
 * called. */
bool srv_head_check(srv_request *request, const char *method, const char *version);
bool srv_head_check_encoding(srv_request *request);

#endif
