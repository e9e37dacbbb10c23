/* SPDX-License-Identifier: Apache-2.0
 * OpenAI's /v1/embeddings. */
#include "serve/wire/openai.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/wire/read.h"
#include "serve/wire/write.h"

#include <string.h>

/* A text, texts, token ids, or lists of token ids. */
static bool read_input(srv_call *call, const srv_json *input) {
    if (srv_json_is(input, SRV_STRING)) return srv_add_string(call, "input", input);
    if (!srv_json_is(input, SRV_ARRAY)) return srv_call_wrong(call, "input", "a string or a list", input);
    if (input->count == 0) return true;
    const srv_json *at = srv_json_first(input);
    bool texts = at->kind == SRV_STRING;
    if (at->kind == SRV_INTEGER) return srv_add_id_list(call, "input", input);
    for (uint32_t i = 0; i < input->count; i++, at = srv_json_next(at)) {
        if (texts) {
            if (!srv_add_string(call, "input", at)) return false;
        } else {
            if (at->kind != SRV_ARRAY)
                return srv_call_wrong(call, "input", "strings or lists of token ids", at);
            if (!srv_add_id_list(call, "input", at)) return false;
        }
    }
    return true;
}

bool srv_openai_read_embeddings(srv_call *call, const srv_json *body) {
    call->ask.normalize = true;
    return read_input(call, srv_json_get(body, "input"));
}

enum { BASE64 = 2 }; /* index in the choices of encoding_format */

static void write_vector(srv_call *call, const float *values, size_t n) {
    srv_out *out = &call->answer;
    if (call->ask.encoding == BASE64) { /* little-endian floats, as on every supported CPU */
        srv_out_text(out, "\"");
        srv_out_base64(out, values, n * sizeof *values);
        srv_out_text(out, "\"");
        return;
    }
    srv_out_text(out, "[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) srv_out_text(out, ",");
        srv_out_real(out, (double)values[i]);
    }
    srv_out_text(out, "]");
}

static void write_end(srv_call *call, srv_out *out) {
    srv_out_text(out, "],\"model\":");
    srv_out_string(out, call->engine->name, strlen(call->engine->name));
    srv_write_usage(call);
}

/* One text per part. */
void srv_openai_write_embeddings(srv_call *call) {
    size_t n = (size_t)call->engine->info.labels, part = call->writing.part;
    srv_out *out = &call->answer;
    if (call->ask.columns > 0) n = (size_t)call->ask.columns;
    if (!srv_ranking_open(call, n)) return;
    if (part == 0) srv_out_text(out, "{\"object\":\"list\",\"data\":[");
    if (part == call->ask.count) {
        write_end(call, out);
        return;
    }
    srv_out_format(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", part > 0 ? "," : "",
                   part);
    write_vector(call, srv_vector(call, part, call->writing.scores, n), n);
    srv_out_text(out, "}");
    srv_more(call);
}

static void write_model(srv_out *out, const char *name) {
    srv_out_text(out, "{\"id\":");
    srv_out_string(out, name, strlen(name));
    srv_out_text(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"retort\"}");
}

void srv_openai_write_model(srv_call *call) {
    if (srv_call_find_model(call)) write_model(&call->answer, call->engine->name);
}

void srv_openai_write_models(srv_call *call) {
    const srv_options *options = call->service->options;
    srv_out *out = &call->answer;
    srv_out_text(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < options->model_count; i++) {
        if (i > 0) srv_out_text(out, ",");
        write_model(out, options->models[i].name);
    }
    srv_out_text(out, "]}");
}
