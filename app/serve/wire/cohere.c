/* SPDX-License-Identifier: Apache-2.0
 * Reranking in the form of Cohere, Jina, vLLM and infinity: /v1/rerank and /v2/rerank, and /rerank for bodies
 * with "documents". */
#include "serve/wire/cohere.h"
#include "retort.h"
#include "serve/base/out.h"
#include "serve/wire/errors.h"
#include "serve/wire/field.h"
#include "serve/wire/fields.h"
#include "serve/wire/forms.h"
#include "serve/wire/rank.h"
#include "serve/wire/read.h"
#include "serve/wire/write.h"

#include <string.h>

/* A string, or an object with a text. */
static bool add_document(srv_call *call, const char *name, const srv_json *value) {
    if (!srv_json_is(value, SRV_OBJECT)) return srv_add_string(call, name, value);
    return srv_fields_read(call, &srv_document_form, value, "documents.") &&
           srv_add_string(call, "documents.text", srv_json_get(value, "text"));
}

bool srv_cohere_read_documents(srv_call *call, const srv_json *body) {
    call->ask.documents = true;
    if (srv_json_get(body, "texts") != NULL)
        return srv_call_fail(call, SRV_ERROR_INVALID, "texts: expected either texts or documents");
    if (call->ask.with_text)
        return srv_call_fail(call, SRV_ERROR_INVALID, "return_text: use return_documents with documents");
    return srv_read_ranked(call, body, "documents", add_document);
}

static void write_head(srv_call *call) {
    srv_out *out = &call->answer;
    srv_out_text(out, "{\"id\":");
    srv_out_string(out, call->request_id, strlen(call->request_id));
    srv_out_text(out, ",\"model\":");
    srv_out_string(out, call->engine->name, strlen(call->engine->name));
    srv_out_text(out, ",\"results\":[");
}

/* One document per part, best first. */
void srv_cohere_write_rank(srv_call *call) {
    srv_out *out = &call->answer;
    size_t part = call->writing.part, shown = call->ask.count;
    if (!srv_rank(call)) return;
    if (call->ask.top > 0 && (size_t)call->ask.top < shown) shown = (size_t)call->ask.top;
    if (part == 0) write_head(call);
    if (part == shown) {
        srv_out_text(out, "]");
        srv_write_usage(call);
        return;
    }
    uint32_t index = call->writing.order[part];
    const retort_text *text = &call->ask.texts[index];
    srv_out_format(out, "%s{\"index\":%u,\"relevance_score\":", part > 0 ? "," : "", index);
    srv_out_real(out, (double)call->writing.scores[index]);
    if (call->ask.with_document != SRV_NO) {
        srv_out_text(out, ",\"document\":{\"text\":");
        srv_out_string(out, text->pair, text->pair_length);
        srv_out_text(out, "}");
    }
    srv_out_text(out, "}");
    srv_more(call);
}
