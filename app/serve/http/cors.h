/* SPDX-License-Identifier: Apache-2.0
 * Cross-origin requests of pages in a browser. */
#ifndef SERVE_CORS_H
#define SERVE_CORS_H

#include "serve/http/request.h"

#include <stdbool.h>

struct MHD_Response;
/* Headers for a page of another origin; false: it may not read the answer. */
bool srv_cors_headers(const srv_request *request, struct MHD_Response *response);
/* Whether a browser asks what a page may send; and the headers of the answer. */
bool srv_cors_asks(const srv_request *request, const char *method);
void srv_cors_allow(const srv_request *request, struct MHD_Response *response);

#endif
