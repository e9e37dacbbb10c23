/* SPDX-License-Identifier: Apache-2.0
 * The bodies of errors, in the form of each protocol. */
#include "serve/wire/error_body.h"
#include "serve/base/out.h"
#include "serve/wire/errors.h"
#include "serve/wire/route.h"

#include <string.h>

static void write_error_tei(srv_call *call, srv_out *out) {
    srv_out_text(out, "{\"error\":");
    srv_out_string(out, call->what, strlen(call->what));
    srv_out_format(out, ",\"error_type\":\"%s\"}", srv_errors[call->error].tei);
}

static void write_error_openai(srv_call *call, srv_out *out) {
    srv_out_text(out, "{\"error\":{\"message\":");
    srv_out_string(out, call->what, strlen(call->what));
    srv_out_format(out, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", srv_errors[call->error].openai,
                   srv_errors[call->error].tei);
}

static void write_error_v2(srv_call *call, srv_out *out) {
    srv_out_text(out, "{\"error\":");
    srv_out_string(out, call->what, strlen(call->what));
    srv_out_text(out, "}");
}

/* The form of errors: the route's, or for an unknown path under /v1 the one that its clients read. */
static srv_wire wire_of(const srv_call *call) {
    if (call->route != NULL) return call->route->wire;
    return call->path != NULL && strncmp(call->path, "/v1/", 4) == 0 ? SRV_WIRE_OPENAI : SRV_WIRE_TEI;
}

void srv_call_write_error(srv_call *call) {
    static void (*const write[SRV_WIRE_COUNT])(srv_call *,
                                               srv_out *) = {[SRV_WIRE_TEI] = write_error_tei,
                                                             [SRV_WIRE_OPENAI] = write_error_openai,
                                                             [SRV_WIRE_V2] = write_error_v2};
    call->answer.length = 0;
    call->content_type = "application/json";
    write[wire_of(call)](call, &call->answer);
    if (!call->answer.failed) return;
    srv_out_free(&call->answer); /* srv_call_last_words */
    call->status = srv_errors[SRV_ERROR_INTERNAL].status;
}

const char *srv_call_last_words(const srv_call *call) {
    static const char *const words[SRV_WIRE_COUNT] = {
        [SRV_WIRE_TEI] = "{\"error\":\"out of memory\",\"error_type\":\"backend\"}",
        [SRV_WIRE_OPENAI] = ("{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\","
                             "\"param\":null,\"code\":\"backend\"}}"),
        [SRV_WIRE_V2] = "{\"error\":\"out of memory\"}"};
    return words[wire_of(call)];
}
