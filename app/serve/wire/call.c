/* SPDX-License-Identifier: Apache-2.0
 * Failing, charging and releasing a call: what all parts of wire/ need. */
#include "serve/wire/call.h"
#include "serve/base/memory.h"
#include "serve/base/metrics.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

bool srv_call_fail(srv_call *call, srv_error_id id, const char *format, ...) {
    va_list args;
    if (call->failed) return false;
    va_start(args, format);
    vsnprintf(call->what, sizeof call->what, format, args);
    va_end(args);
    call->failed = true;
    call->error = id;
    call->status = srv_errors[id].status;
    if (call->status == 0) call->status = (unsigned)call->service->options->overload_status;
    /* The other two protocols have one code for every bad request. */
    bool one_code = call->route != NULL && call->route->wire != SRV_WIRE_TEI;
    bool bad = id == SRV_ERROR_INVALID || id == SRV_ERROR_TOKENIZER || id == SRV_ERROR_UNSUITED;
    if (one_code && bad) call->status = 400;
    return false;
}

bool srv_call_over(srv_call *call) {
    const srv_memory *memory = call->service->options->budget;
    if (call->failed) return false;
    srv_count(&call->service->slots[0].metrics.rejected[SRV_MEMORY], 1);
    call->wait = 1;
    return srv_call_fail(call, SRV_ERROR_OVERLOADED,
                         "overloaded: the request would exceed request_memory, which is %zu bytes",
                         memory != NULL ? memory->limit : 0);
}

bool srv_call_no_memory(srv_call *call, bool over) {
    return over ? srv_call_over(call) : srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
}

bool srv_call_charge(srv_call *call, size_t bytes) {
    if (!srv_memory_take(call->service->options->budget, SRV_USE_INPUTS, bytes)) return srv_call_over(call);
    call->charged += bytes;
    return true;
}

bool srv_call_no_model(srv_call *call) {
    int length = (int)(call->model.length < 100 ? call->model.length : 100);
    return srv_call_fail(call, SRV_ERROR_NOT_FOUND, "no model has the name '%.*s'", length, call->model.text);
}

bool srv_call_find_model(srv_call *call) {
    bool known;
    call->engine = srv_service_engine(call->service, SRV_ANY_TASK, &call->model, &known);
    return call->engine != NULL || srv_call_no_model(call);
}

/* Small buffers are kept for the next call. */
static srv_out kept(srv_out *out) {
    enum { KEPT_BYTES = 4096 };
    if (out->capacity > KEPT_BYTES) srv_out_free(out);
    return (srv_out){.data = out->data, .capacity = out->capacity, .memory = out->memory, .use = out->use};
}

static void free_writing(srv_writing *writing) {
    free(writing->scores);
    free(writing->order);
    free(writing->tokens);
    free(writing->ends);
}

void srv_call_reset(srv_call *call) {
    enum { KEPT_VALUES = 64 };
    if (call->engine != NULL) {
        atomic_fetch_sub(&call->engine->tokenized, call->writing.admitted);
        if (call->job.items != NULL) srv_queue_release(&call->engine->queue, &call->job);
        srv_engine_leave(call->engine);
    }
    free(call->job.items);
    free(call->ask.texts);
    free(call->ask.ids);
    free(call->ask.labels);
    srv_out_free(&call->ask.made);
    free_writing(&call->writing);
    if (call->charged > 0) srv_memory_give(call->service->options->budget, SRV_USE_INPUTS, call->charged);
    if (call->json.capacity > KEPT_VALUES) srv_json_free(&call->json);
    srv_out body = kept(&call->body), answer = kept(&call->answer);
    srv_json_doc json = {
        .values = call->json.values, .capacity = call->json.capacity, .memory = call->json.memory};
    memset(call, 0, sizeof *call);
    call->body = body;
    call->answer = answer;
    call->json = json;
}

void srv_call_free(srv_call *call) {
    srv_call_reset(call);
    srv_out_free(&call->body);
    srv_out_free(&call->answer);
    srv_json_free(&call->json);
}
