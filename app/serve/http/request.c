/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http/request.h"
#include "serve/http/mhd.h"

const char *srv_header(const srv_request *request, const char *name) {
    return srv_mhd.lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

void srv_request_reset(srv_request *request) {
    srv_call_reset(&request->call);
    *request = (srv_request){.call = request->call};
}
