/* SPDX-License-Identifier: Apache-2.0
 * From a body to a job in the queue, and from its end to an answer. */
#include "serve/server.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    unsigned status;
    const char *tei, *openai;
} errors[] = {
#define ERROR_ROW(id, status, tei, openai) {status, tei, openai},
    SRV_ERRORS(ERROR_ROW)
#undef ERROR_ROW
};

bool srv_call_fail(srv_call *call, srv_error_id id, const char *format, ...) {
    va_list args;
    if (call->failed) return false;
    va_start(args, format);
    vsnprintf(call->what, sizeof call->what, format, args);
    va_end(args);
    call->failed = true;
    call->error = id;
    call->status = errors[id].status;
    if (call->status == 0) call->status = (unsigned)call->server->options->overload_status;
    /* These two protocols have one code for every bad request. */
    bool one_code = call->route != NULL && call->route->wire != SRV_WIRE_TEI;
    if (one_code && (id == SRV_ERROR_INVALID || id == SRV_ERROR_TOKENIZER)) call->status = 400;
    return false;
}

static void write_error_tei(srv_call *call, srv_out *out) {
    srv_out_text(out, "{\"error\":");
    srv_out_string(out, call->what, strlen(call->what));
    srv_out_format(out, ",\"error_type\":\"%s\"}", errors[call->error].tei);
}

static void write_error_openai(srv_call *call, srv_out *out) {
    srv_out_text(out, "{\"error\":{\"message\":");
    srv_out_string(out, call->what, strlen(call->what));
    srv_out_format(out, ",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}", errors[call->error].openai,
                   errors[call->error].tei);
}

static void write_error_v2(srv_call *call, srv_out *out) {
    srv_out_text(out, "{\"error\":");
    srv_out_string(out, call->what, strlen(call->what));
    srv_out_text(out, "}");
}

void srv_call_write_error(srv_call *call) {
    static void (*const write[SRV_WIRE_COUNT])(srv_call *,
                                               srv_out *) = {[SRV_WIRE_TEI] = write_error_tei,
                                                             [SRV_WIRE_OPENAI] = write_error_openai,
                                                             [SRV_WIRE_V2] = write_error_v2};
    call->answer.length = 0;
    call->content_type = "application/json";
    write[call->route != NULL ? call->route->wire : SRV_WIRE_TEI](call, &call->answer);
    if (!call->answer.failed) return;
    srv_out_free(&call->answer); /* srv_call_last_words */
    call->status = errors[SRV_ERROR_INTERNAL].status;
}

const char *srv_call_last_words(const srv_call *call) {
    static const char *const words[SRV_WIRE_COUNT] = {
        [SRV_WIRE_TEI] = "{\"error\":\"out of memory\",\"error_type\":\"backend\"}",
        [SRV_WIRE_OPENAI] = "{\"error\":{\"message\":\"out of memory\",\"type\":\"server_error\","
                            "\"param\":null,\"code\":\"backend\"}}",
        [SRV_WIRE_V2] = "{\"error\":\"out of memory\"}"};
    return words[call->route != NULL ? call->route->wire : SRV_WIRE_TEI];
}

const char *srv_header(const srv_call *call, const char *name) {
    if (call->connection == NULL) return NULL; /* a test's call */
    return srv_mhd.lookup_connection_value(call->connection, MHD_HEADER_KIND, name);
}

/* ---- Ids ---- */

static bool too_long(srv_call *call, size_t index, size_t tokens, int64_t most) {
    return srv_call_fail(call, SRV_ERROR_TOKENIZER, "text %zu has %zu tokens: max_input_length is %lld",
                         index, tokens, (long long)most);
}

/* All tokens of a text, however many. */
static retort_status encode_whole(srv_encoder *s, const retort_text *text, retort_tokenize_options options,
                                  size_t *n) {
    options.max_length = 0;
    retort_status status = retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, NULL);
    if (status != RETORT_LIMIT || *n <= s->capacity) return status;
    if (!srv_encoder_grow(s, *n)) return RETORT_NOMEM;
    return retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, NULL);
}

/* The ids of text `index` into s; *n of them. One more token than the model takes shows that it is too long.
 */
static bool encode_text(srv_call *call, size_t index, srv_encoder *s, size_t *n) {
    const retort_text *text = &call->ask.texts[index];
    retort_tokenize_options options = RETORT_TOKENIZE_OPTIONS;
    int64_t most = call->engine->info.max_length;
    retort_error err = {0};
    options.special_as_text = !call->server->options->keep_special;
    options.side = (retort_side)call->ask.direction;
    options.max_length = most + 1;
    if (call->engine->info.task == RETORT_TASK_ANSWER) { /* a long context is read in windows */
        if (encode_whole(s, text, options, n) == RETORT_OK) return true;
        return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    }
    retort_status status = retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, &err);
    if (status == RETORT_OK && *n <= (size_t)most) return true;
    bool cut = call->ask.truncate == SRV_YES ||
               (call->ask.truncate == SRV_UNSAID && !call->server->options->refuse_long);
    if (status == RETORT_OK && !cut) {
        status = encode_whole(s, text, options, n);
        if (status == RETORT_OK) return too_long(call, index, *n, most);
    } else if (status == RETORT_OK) {
        options.max_length = most;
        status = retort_encode(s->encoder, text, &options, s->ids, s->types, s->capacity, n, &err);
    }
    call->truncated++;
    if (status == RETORT_OK) return true;
    return srv_call_fail(call, status == RETORT_NOMEM ? SRV_ERROR_INTERNAL : SRV_ERROR_TOKENIZER,
                         "text %zu: %s", index, err.text[0] != '\0' ? err.text : retort_status_text(status));
}

/* Number i; false: it is not a whole one. */
static bool int_at(const srv_ints *ints, size_t i, int64_t *out) {
    if (ints->raw == NULL) {
        *out = ints->json[i].integer;
        return ints->json[i].kind == SRV_INTEGER;
    }
    uint64_t bits = 0;
    for (size_t k = ints->width; k-- > 0;) bits = bits << 8 | (unsigned char)ints->raw[i * ints->width + k];
    *out = ints->width == 4 ? (int32_t)(uint32_t)bits : (int64_t)bits;
    return true;
}

static bool read_id(srv_call *call, const srv_ints *ints, const char *what, size_t at, int64_t limit,
                    int32_t *out) {
    int64_t value;
    if (!int_at(ints, at, &value))
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s %zu is %s: expected a whole number", what, at,
                             srv_json_kind_name(&ints->json[at]));
    if (value < 0 || value >= limit)
        return srv_call_fail(call, SRV_ERROR_INVALID, "%s %zu is %lld: expected 0 to %lld", what, at,
                             (long long)value, (long long)limit - 1);
    *out = (int32_t)value;
    return true;
}

/* The n tokens from *first on have a mask of 1; those of 0 must stand before or behind them. */
static bool read_mask(srv_call *call, const srv_ids *ids, size_t *first, size_t *n) {
    int32_t mask = 1;
    *first = *n = 0;
    for (size_t i = 0; i < ids->n; i++) {
        if (srv_has_ints(&ids->mask) && !read_id(call, &ids->mask, "attention_mask", i, 2, &mask))
            return false;
        if (mask == 0) continue;
        if (*n == 0) *first = i;
        if (i != *first + *n)
            return srv_call_fail(
                call, SRV_ERROR_INVALID,
                "attention_mask %zu is 1 behind a 0 behind a 1: padding must stand at the ends", i);
        ++*n;
    }
    return true;
}

static bool read_ids(srv_call *call, size_t index, srv_encoder *s, size_t *n) {
    const srv_ids *ids = &call->ask.ids[index];
    const retort_info *info = &call->engine->info;
    size_t first;
    if (!read_mask(call, ids, &first, n)) return false;
    if (*n > (size_t)info->positions) return too_long(call, index, *n, info->positions);
    if (*n == 0) return srv_call_fail(call, SRV_ERROR_INVALID, "text %zu has no token", index);
    if (*n > s->capacity && !srv_encoder_grow(s, *n))
        return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < *n; i++) {
        s->types[i] = 0;
        if (!read_id(call, &ids->ids, "token id", first + i, info->vocab, &s->ids[i])) return false;
        if (srv_has_ints(&ids->types) && !read_id(call, &ids->types, "token_type_ids", first + i,
                                                  info->types > 0 ? info->types : 1, &s->types[i]))
            return false;
    }
    return true;
}

/* How many of the best guesses are given: the pipelines' top_k, and the most. */
enum { TOP = 5, MOST_GUESSES = 1000 };

static bool make_row(srv_call *call, size_t index, const srv_encoder *s, size_t n) {
    int64_t top = call->ask.top == 0 ? TOP : call->ask.top < MOST_GUESSES ? call->ask.top : MOST_GUESSES;
    bool rows = srv_engine_has_rows(call->engine);
    srv_row *row = rows ? srv_row_new(n, 2 * n) : srv_text_row(&call->ask.texts[index], n, (int32_t)top);
    if (row == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    if (rows) memcpy(row->key, s->ids, n * sizeof *s->ids);
    if (rows) memcpy(row->key + n, s->types, n * sizeof *s->types);
    call->job.items[index].row = row;
    call->job.count = index + 1;
    call->tokens += n;
    return true;
}

static bool encode(srv_call *call) {
    if (call->ask.texts == NULL && !srv_engine_has_rows(call->engine))
        return srv_call_fail(call, SRV_ERROR_INVALID, "the model takes texts, not token ids");
    srv_encoder *s = srv_engine_encoder(call->engine);
    call->job.items = calloc(call->ask.count, sizeof *call->job.items);
    bool fine = s != NULL && call->job.items != NULL;
    if (!fine) srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0, n; fine && i < call->ask.count; i++) {
        fine = call->ask.texts != NULL ? encode_text(call, i, s, &n) : read_ids(call, i, s, &n);
        fine = fine && make_row(call, i, s, n);
    }
    if (s != NULL) srv_engine_encoder_back(call->engine, s);
    return fine;
}

/* ---- The queue ---- */

static void hold(srv_job *job) {
    srv_call *call = (srv_call *)((char *)job - offsetof(srv_call, job));
    call->stage = SRV_WAITING;
    atomic_store(&call->from->stage, SRV_WAITING);
    srv_mhd.suspend_connection(call->connection);
}

static void done(srv_job *job) {
    srv_call *call = (srv_call *)((char *)job - offsetof(srv_call, job));
    srv_mhd.resume_connection(call->connection);
}

/* The server's time limit, or a shorter one that the client names. */
static int64_t deadline_of(srv_call *call, int64_t now) {
    int64_t limit = call->server->options->queue_timeout_ms;
    const char *header = srv_header(call, "x-queue-timeout-ms");
    char *end = NULL;
    long asked = header != NULL ? strtol(header, &end, 10) : 0;
    if (header != NULL && (*header < '0' || *header > '9' || *end != '\0' || asked < 1)) {
        srv_call_fail(call, SRV_ERROR_INVALID, "x-queue-timeout-ms: expected a whole number from 1 on");
        return 0;
    }
    if (header != NULL && (limit == 0 || asked < limit)) limit = asked;
    return limit > 0 && limit < INT64_MAX / 1000000 - now / 1000000 ? now + limit * 1000000 : INT64_MAX;
}

static bool refuse(srv_call *call, srv_verdict verdict, srv_reason reason) {
    const srv_options *options = call->server->options;
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

static bool submit(srv_call *call) {
    static const srv_reason reasons[] = {[SRV_REFUSED_TOKENS] = SRV_QUEUE_FULL,
                                         [SRV_REFUSED_JOBS] = SRV_TOO_MANY,
                                         [SRV_REFUSED_LATE] = SRV_TOO_LATE,
                                         [SRV_CLOSED] = SRV_DRAINING};
    const srv_options *options = call->server->options;
    if (call->tokens > (size_t)options->queue_tokens)
        return srv_call_fail(call, SRV_ERROR_TOO_LARGE, "the request has %zu tokens: max_queue_tokens is %ld",
                             call->tokens, options->queue_tokens);
    call->job.deadline = deadline_of(call, srv_now());
    if (call->failed) return false;
    call->job.fd = call->from->fd;
    call->job.hold = hold;
    call->job.done = done;
    srv_verdict verdict = srv_queue_submit(&call->engine->queue, &call->job, &call->wait);
    if (verdict == SRV_ADMITTED || verdict == SRV_ANSWERED) return true;
    return refuse(call, verdict, reasons[verdict]);
}

static bool find_engine(srv_call *call) {
    bool known, named = call->model.text != NULL;
    int length = (int)(call->model.length < 100 ? call->model.length : 100);
    const char *does = call->route->task == RETORT_TASK_EMBED      ? "embeds"
                       : call->route->task == RETORT_TASK_CLASSIFY ? "classifies"
                                                                   : "classifies or embeds";
    call->engine = srv_server_engine(call->server, call->route->task, &call->model, &known);
    if (call->engine != NULL) return true;
    if (!known)
        return srv_call_fail(call, SRV_ERROR_NOT_FOUND, "no model has the name '%.*s'", length,
                             call->model.text);
    if (named)
        return srv_call_fail(call, SRV_ERROR_NOT_FOUND, "%s needs a model that %s: '%.*s' does not",
                             call->route->path, does, length, call->model.text);
    return srv_call_fail(call, SRV_ERROR_BACKEND, "%s needs a model that %s", call->route->path, does);
}

/* The model that the path or the body names. With one model its name in a body does not matter: clients send
 * what they know. */
static bool choose_model(srv_call *call) {
    const srv_slice *named = &call->ask.named;
    if (named->text == NULL || call->server->options->model_count == 1) return true;
    if (call->model.text == NULL) {
        call->model = *named;
        return true;
    }
    if (call->model.length == named->length && memcmp(call->model.text, named->text, named->length) == 0)
        return true;
    return srv_call_fail(call, SRV_ERROR_INVALID, "model: the path names another one");
}

static bool ask(srv_call *call) {
    size_t length = call->json_length > 0 ? call->json_length : call->body.length;
    if (!srv_json_parse(&call->json, call->body.data, length))
        return srv_call_fail(call, call->json.no_memory ? SRV_ERROR_INTERNAL : SRV_ERROR_MALFORMED,
                             "JSON: %s", call->json.error);
    const srv_json *body = call->json.values;
    if (body->kind != SRV_OBJECT) return srv_call_wrong(call, "the body", "an object", body);
    if (!srv_fields_read(call, call->route->form, body, "")) return false;
    /* With one model its name does not matter: clients name what they know. */
    if (!choose_model(call)) return false;
    if (!call->route->read(call, body)) return false;
    if (call->ask.count == 0) return srv_call_fail(call, SRV_ERROR_EMPTY, "the list of inputs is empty");
    return find_engine(call) && (call->route->check == NULL || call->route->check(call));
}

bool srv_call_ask(srv_call *call) {
    int64_t from = srv_now();
    if (!ask(call) || call->route->write == srv_tei_write_tokenize || !encode(call)) return false;
    call->encode_time = srv_now() - from;
    return true;
}

/* Only a job of the queue makes the call wait: it may be answered before this returns. */
void srv_call_run(srv_call *call) {
    call->stage = SRV_ANSWERING;
    if (!srv_call_ask(call)) return;
    srv_model_metrics *metrics = call->engine->queue.metrics;
    srv_observe(metrics, SRV_TOKENIZE, (unsigned long long)call->encode_time);
    if (call->truncated > 0) srv_count(&metrics->counters[SRV_TRUNCATED], call->truncated);
    submit(call);
}

void srv_call_reset(srv_call *call) {
    enum { KEPT_BYTES = 4096, KEPT_VALUES = 64 }; /* a connection keeps so much between two requests */
    if (call->engine != NULL) {
        if (call->job.items != NULL) srv_queue_release(&call->engine->queue, &call->job);
        srv_engine_leave(call->engine);
    }
    free(call->job.items);
    free(call->ask.texts);
    free(call->ask.ids);
    srv_out_free(&call->answer);
    if (call->body.capacity > KEPT_BYTES) srv_out_free(&call->body);
    if (call->json.capacity > KEPT_VALUES) srv_json_free(&call->json);
    char *body = call->body.data;
    srv_json *values = call->json.values;
    size_t body_capacity = call->body.capacity, values_capacity = call->json.capacity;
    memset(call, 0, sizeof *call);
    call->body.data = body;
    call->body.capacity = body_capacity;
    call->json.values = values;
    call->json.capacity = values_capacity;
}

void srv_call_free(srv_call *call) {
    srv_call_reset(call);
    srv_out_free(&call->body);
    srv_json_free(&call->json);
}

/* The first text without an answer. */
static size_t failed_text(const srv_job *job) {
    size_t i = 0;
    while (i + 1 < job->count && job->items[i].row->state != SRV_ROW_FAILED) i++;
    return i;
}

static void explain(srv_call *call) {
    const char *no_memory = retort_status_text(RETORT_NOMEM), *error = call->job.error;
    switch (call->job.end) {
    case SRV_END_FAILED:
        srv_call_fail(call, strcmp(error, no_memory) == 0 ? SRV_ERROR_INTERNAL : SRV_ERROR_BACKEND,
                      "text %zu: the model could not be run: %s", failed_text(&call->job), error);
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

void srv_call_answer(srv_call *call) {
    explain(call);
    call->content_type = "application/json";
    if (!call->failed) {
        call->status = 200;
        call->route->write(call);
        if (call->answer.failed) {
            srv_out_free(&call->answer);
            srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
        }
    }
    if (call->failed) srv_call_write_error(call);
    call->answered = srv_now();
}
