/* SPDX-License-Identifier: Apache-2.0
 * From a body to a job in the queue, and from its end to an answer. */
#include "serve/wire/run.h"
#include "retort.h"
#include "serve/base/json.h"
#include "serve/base/metrics.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/queue/queue.h"
#include "serve/queue/service.h"
#include "serve/wire/encode.h"
#include "serve/wire/error_body.h"
#include "serve/wire/errors.h"
#include "serve/wire/fields.h"
#include "serve/wire/read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The queue ---- */

bool srv_call_deadline(srv_call *call, const char *header, int64_t now) {
    int64_t limit = call->service->options->queue_timeout_ms;
    char *end = NULL;
    long asked = header != NULL ? strtol(header, &end, 10) : 0;
    if (header != NULL && (*header < '0' || *header > '9' || *end != '\0' || asked < 1))
        return srv_call_fail(call, SRV_ERROR_INVALID,
                             "x-queue-timeout-ms: expected a whole number from 1 on");
    if (header != NULL && (limit == 0 || asked < limit)) limit = asked;
    bool limited = limit > 0 && limit < INT64_MAX / 1000000 - now / 1000000;
    call->job.deadline = limited ? now + limit * 1000000 : INT64_MAX;
    return true;
}

static bool refuse(srv_call *call, srv_verdict verdict, srv_reason reason) {
    const srv_options *options = call->service->options;
    srv_count(&call->engine->queue.metrics->rejected[reason], 1);
    if (verdict == SRV_REFUSED_TOKENS)
        return srv_call_fail(call, SRV_ERROR_OVERLOADED,
                             "overloaded: %zu more tokens would exceed max_queue_tokens, which is %ld",
                             call->tokens, options->queue_tokens);
    if (verdict == SRV_REFUSED_JOBS)
        return srv_call_fail(call, SRV_ERROR_OVERLOADED,
                             "overloaded: max_concurrent_requests, which is %ld, are in flight",
                             options->jobs);
    if (verdict == SRV_REFUSED_LATE)
        return srv_call_fail(call, SRV_ERROR_OVERLOADED,
                             "overloaded: the request would wait %.0f ms longer than its time limit",
                             call->wait * 1e3);
    return srv_call_fail(call, SRV_ERROR_UNHEALTHY, "the server is shutting down");
}

/* True: the job waits. False: it is answered, or refused. */
static bool submit(srv_call *call) {
    static const srv_reason reasons[] = {[SRV_REFUSED_TOKENS] = SRV_QUEUE_FULL,
                                         [SRV_REFUSED_JOBS] = SRV_TOO_MANY,
                                         [SRV_REFUSED_LATE] = SRV_TOO_LATE,
                                         [SRV_CLOSED] = SRV_DRAINING};
    srv_verdict verdict = srv_queue_submit(&call->engine->queue, &call->job, &call->wait);
    if (verdict == SRV_ADMITTED) return true; /* the call may have ended */
    return verdict != SRV_ANSWERED && refuse(call, verdict, reasons[verdict]);
}

/* Where the only model that is served answers; NULL: several are. */
static const char *path_for(srv_call *call) {
    bool known;
    if (call->service->options->model_count != 1) return NULL;
    srv_engine *engine = srv_service_engine(call->service, SRV_ANY_TASK, &call->model, &known);
    if (engine == NULL) return NULL;
    retort_task task = engine->info.task;
    srv_engine_leave(engine);
    return task == RETORT_TASK_CLASSIFY ? "/predict" : task == RETORT_TASK_EMBED ? "/embed" : "/";
}

static bool find_engine(srv_call *call) {
    bool known, named = call->model.text != NULL;
    int length = (int)(call->model.length < 100 ? call->model.length : 100);
    const char *does = call->route->task == RETORT_TASK_EMBED      ? "embeds"
                       : call->route->task == RETORT_TASK_CLASSIFY ? "classifies"
                                                                   : "classifies, embeds or tags";
    int task = call->ask.like > 0 ? call->ask.like - 1 : call->route->task;
    call->engine = srv_service_engine(call->service, task, &call->model, &known);
    if (call->engine != NULL) return true;
    if (!known) return srv_call_no_model(call);
    if (named)
        return srv_call_fail(call, SRV_ERROR_NOT_FOUND, "%.100s needs a model that %s: '%.*s' does not",
                             call->path != NULL ? call->path : call->route->path, does, length,
                             call->model.text);
    const char *other = path_for(call);
    if (other == NULL)
        return srv_call_fail(call, SRV_ERROR_UNSUITED, "%s needs a model that %s", call->route->path, does);
    return srv_call_fail(call, SRV_ERROR_UNSUITED,
                         "%s needs a model that %s; the one that is served answers %s", call->route->path,
                         does, other);
}

/* Takes the model's name from the path or the body. If only one model is served, its name in a body does
 * not matter: clients send what they know. */
static bool choose_model(srv_call *call) {
    const srv_slice *named = &call->ask.named;
    if (named->text == NULL || call->service->options->model_count == 1) return true;
    if (call->model.text == NULL) {
        call->model = *named;
        return true;
    }
    if (call->model.length == named->length && memcmp(call->model.text, named->text, named->length) == 0)
        return true;
    return srv_call_fail(call, SRV_ERROR_INVALID, "model: the path names a different model");
}

/* Finds the requested prompt, or takes the model's default. */
static bool find_prompt(srv_call *call) {
    char known[200] = "none at all";
    const srv_slice *asked = &call->ask.prompt;
    const char *name;
    size_t length = 0;
    call->prompt_name = call->engine->info.default_prompt;
    if (asked->text == NULL) return true;
    for (size_t i = 0; (name = retort_model_prompt(call->engine->model, i, NULL)) != NULL; i++) {
        call->prompt_name = name;
        if (strlen(name) == asked->length && memcmp(name, asked->text, asked->length) == 0) return true;
        if (length < sizeof known)
            length +=
                (size_t)snprintf(known + length, sizeof known - length, "%s%s", i > 0 ? ", " : "", name);
    }
    return srv_call_fail(call, SRV_ERROR_INVALID, "prompt_name: the model has no prompt '%.*s'; it has: %s",
                         (int)(asked->length < 60 ? asked->length : 60), asked->text, known);
}

/* Checks the options of embeddings against the model, and takes the prompt. */
static bool check_embed(srv_call *call) {
    long long columns = (long long)call->engine->info.labels;
    if (call->engine->info.task == RETORT_TASK_CLASSIFY) return find_prompt(call);
    if (call->engine->info.task != RETORT_TASK_EMBED) return true;
    if (call->ask.columns > columns)
        return srv_call_fail(call, SRV_ERROR_INVALID, "dimensions is %lld: the model's vectors have %lld",
                             (long long)call->ask.columns, columns);
    return find_prompt(call);
}

static bool ask(srv_call *call) {
    size_t length = call->json_length > 0 ? call->json_length : call->body.length;
    if (!srv_json_parse(&call->json, call->body.data, length))
        return call->json.no_memory ? srv_call_no_memory(call, call->json.over)
                                    : srv_call_fail(call, SRV_ERROR_MALFORMED, "JSON: %s", call->json.error);
    const srv_json *body = call->json.values;
    if (body->kind != SRV_OBJECT) return srv_call_wrong(call, "the body", "an object", body);
    call->ask.stride = -1;
    if (!srv_fields_read(call, call->route->form, body, "")) return false;
    if (!choose_model(call)) return false;
    if (!call->route->read(call, body)) return false;
    if (call->ask.count == 0) return srv_call_fail(call, SRV_ERROR_EMPTY, "the list of inputs is empty");
    return find_engine(call) && check_embed(call) && (call->route->check == NULL || call->route->check(call));
}

bool srv_call_ask(srv_call *call) {
    int64_t from = srv_now();
    if (!ask(call)) return false;
    if (call->ask.no_job || !srv_call_encode(call)) return false;
    call->encode_time = srv_now() - from;
    return true;
}

bool srv_call_run(srv_call *call) {
    if (!srv_call_ask(call)) return false;
    srv_model_metrics *metrics = call->engine->queue.metrics;
    srv_observe(metrics, SRV_TOKENIZE, (unsigned long long)call->encode_time);
    if (call->truncated > 0) srv_count(&metrics->counters[SRV_TRUNCATED], call->truncated);
    return submit(call);
}

/* The first text without an answer. */
static size_t failed_text(const srv_job *job) {
    size_t i = 0;
    while (i + 1 < job->count && job->items[i].entry->state != SRV_ENTRY_FAILED) i++;
    return i;
}

static void explain(srv_call *call) {
    retort_status error = call->job.error;
    switch (call->job.end) {
    case SRV_END_FAILED:
        if (error == RETORT_LIMIT) srv_call_over(call); /* the budget had no room for an answer */
        srv_call_fail(call, error == RETORT_NOMEM ? SRV_ERROR_INTERNAL : SRV_ERROR_BACKEND,
                      "text %zu: the model could not be run: %s", failed_text(&call->job),
                      retort_status_text(error));
        break;
    case SRV_END_DEADLINE:
        srv_call_fail(call, SRV_ERROR_TIMEOUT, "the request waited %.0f ms, its time limit",
                      (double)(call->job.finished - call->job.queued) * 1e-6);
        break;
    case SRV_END_GONE:
        srv_call_fail(call, SRV_ERROR_GONE, "the client closed the connection");
        break;
    case SRV_END_DRAINED:
        srv_call_fail(call, SRV_ERROR_UNHEALTHY, "the server is shutting down");
        break;
    case SRV_END_NONE:
    case SRV_END_DONE:
        break;
    }
}

/* Writes parts until there is enough to send; this takes no longer than one large part. */
void srv_call_more(srv_call *call) {
    enum { ENOUGH = 16 << 10 };
    do {
        call->writing.whole = true;
        call->route->write(call);
    } while (!call->writing.whole && !call->failed && call->answer.length < ENOUGH);
    if (!call->answer.failed) return;
    bool over = call->answer.over;
    srv_out_free(&call->answer);
    srv_call_no_memory(call, over);
}

void srv_call_answer(srv_call *call) {
    explain(call);
    call->content_type = "application/json";
    if (!call->failed) {
        call->status = 200;
        srv_call_more(call);
    }
    if (call->failed) {
        srv_call_write_error(call);
        call->writing.whole = true;
    }
    call->answered = srv_now();
}
