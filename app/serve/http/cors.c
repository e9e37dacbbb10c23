/* SPDX-License-Identifier: Apache-2.0
 * Cross-origin requests of pages in a browser (the Fetch standard, "CORS protocol"): off unless
 * --cors-allow-origin names their origins. */
#include "serve/http/cors.h"
#include "serve/http/mhd.h"

#include <string.h>

/* Headers that a page may send and read beyond those that the standard always allows. */
static const char allowed[] = "authorization, content-type, inference-header-content-length, traceparent, "
                              "x-queue-timeout-ms, x-request-id",
                  exposed[] =
                      "retry-after, retry-after-ms, server-timing, x-compute-characters, x-compute-time, "
                      "x-compute-tokens, x-inference-time, x-queue-time, x-request-id, x-tokenization-time, "
                      "x-total-time, x-truncated";

/* Whether the comma-separated list contains the origin. */
static bool is_listed(const char *list, const char *origin) {
    size_t length = strlen(origin);
    for (const char *at = list; *at != '\0';) {
        size_t item = strcspn(at, ",");
        if (item == length && memcmp(at, origin, length) == 0) return true;
        at += item + (at[item] == ',');
    }
    return false;
}

bool srv_cors_headers(const srv_request *request, struct MHD_Response *response) {
    const char *list = request->server->service.options->origins, *origin = srv_header(request, "origin");
    if (list == NULL) return false;
    bool any = strcmp(list, "*") == 0;
    if (!any) srv_mhd.add_response_header(response, "vary", "origin"); /* for caches in between */
    if (origin == NULL || !(any || is_listed(list, origin))) return false;
    srv_mhd.add_response_header(response, "access-control-allow-origin", any ? "*" : origin);
    srv_mhd.add_response_header(response, "access-control-expose-headers", exposed);
    return true;
}

bool srv_cors_asks(const srv_request *request, const char *method) {
    return request->server->service.options->origins != NULL && strcmp(method, "OPTIONS") == 0 &&
           srv_header(request, "origin") != NULL &&
           srv_header(request, "access-control-request-method") != NULL;
}

void srv_cors_allow(const srv_request *request, struct MHD_Response *response) {
    if (!srv_cors_headers(request, response)) return; /* the browser refuses it */
    srv_mhd.add_response_header(response, "access-control-allow-methods", "GET, HEAD, POST");
    srv_mhd.add_response_header(response, "access-control-allow-headers", allowed);
    srv_mhd.add_response_header(response, "access-control-max-age", "86400");
}
