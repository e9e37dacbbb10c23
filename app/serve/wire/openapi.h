/* SPDX-License-Identifier: Apache-2.0
 * /openapi.json. */
#ifndef SERVE_OPENAPI_H
#define SERVE_OPENAPI_H

#include "serve/wire/call.h"

void srv_write_openapi(srv_call *call);

#endif
