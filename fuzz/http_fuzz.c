/* SPDX-License-Identifier: Apache-2.0
 * Bodies of requests: the first line is a route's path, the rest its body. What is read is tokenised and
 * answered as by a model, and every answer must be JSON. */
#include "serve/queue/texts.h"
#include "serve/wire/routes.h"
#include "serve/wire/run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void say(const char *format, ...) {
    (void)format;
}

static const srv_model_spec specs[] = {{"classify", CHECKPOINTS "/bert-classify"},
                                       {"embed", CHECKPOINTS "/package-mean"},
                                       {"answer", CHECKPOINTS "/distilbert-answer"},
                                       {"tag", CHECKPOINTS "/bert-tag"},
                                       {"fill", CHECKPOINTS "/bert-fill"}};
static srv_memory memory = {.limit = 1 << 28};
static const srv_options options = {.models = specs,
                                    .model_count = 5,
                                    .batch_tokens = 64,
                                    .batch_texts = 4,
                                    .queue_tokens = 4096,
                                    .jobs = 4,
                                    .items = 16,
                                    .body = 1 << 20,
                                    .overload_status = 429,
                                    .streams = 1,
                                    .threads = 1,
                                    .isa = "ref",
                                    .budget = &memory,
                                    .no_op = true,
                                    .say = say,
                                    .error = say};
static srv_service service = {.options = &options};

static void open_models(void) {
    retort_error err;
    service.slots = calloc(options.model_count, sizeof *service.slots);
    if (service.slots == NULL) abort();
    pthread_mutex_init(&service.lock, NULL);
    for (size_t i = 0; i < options.model_count; i++) {
        srv_slot *slot = &service.slots[i];
        slot->spec = &specs[i];
        if (srv_engine_open(&slot->engine, &options, slot->spec, &slot->metrics, &err) != RETORT_OK) abort();
    }
}

/* As a batch of the model would answer. */
static void *answer_to(srv_entry *entry, srv_engine *engine) {
    size_t n = (size_t)engine->info.labels;
    const srv_text_runner runner = {engine->model, &engine->info, NULL, &memory, true};
    retort_status why;
    if (!srv_engine_has_rows(engine))
        return entry->tokens % 5 == 0 ? strdup("!wrong") : srv_text_run(&runner, entry, &why);
    float *values = calloc(n, sizeof *values);
    for (size_t k = 0; values != NULL && k < n; k++)
        values[k] = (float)(entry->key[k % entry->tokens] % 7) - 3.5F;
    return values;
}

static void compute(srv_call *call) {
    for (size_t i = 0; i < call->job.count; i++) {
        srv_entry *entry = call->job.items[i].entry;
        entry->answer = answer_to(entry, call->engine);
        if (entry->answer == NULL) abort();
        entry->state = SRV_ENTRY_DONE;
    }
    call->job.end = SRV_END_DONE;
}

static void check_json(const srv_out *answer) {
    json_error_t error;
    json_t *json = json_loadb(answer->data, answer->length, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (json == NULL) abort();
    json_decref(json);
}

static void answer(srv_call *call, const uint8_t *body, size_t size) {
    srv_out_bytes(&call->body, (const char *)body, size);
    srv_out_bytes(&call->body, "", 1);
    if (call->body.failed) abort();
    call->body.length--;
    const char *mark = size > 0 ? memchr(call->body.data, 1, size) : NULL; /* bytes follow the JSON */
    if (mark != NULL && mark > call->body.data) {
        call->json_length = (size_t)(mark - call->body.data);
        call->body.data[call->json_length] = '\0';
        call->binary = mark + 1;
        call->binary_length = size - call->json_length - 1;
    }
    if (srv_call_ask(call)) compute(call);
    srv_call_answer(call);
    while (!call->writing.whole && !call->failed) srv_call_more(call);
    if (call->status < 200 || call->status >= 500 || call->answer.failed) abort();
    check_json(&call->answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    char path[128] = "";
    if (line == NULL || (size_t)(line - data) >= sizeof path) return 0;
    if (service.slots == NULL) open_models();
    memcpy(path, data, (size_t)(line - data));
    srv_call own = {.service = &service,
                    .body = {.memory = &memory, .use = SRV_USE_BODIES},
                    .answer = {.memory = &memory, .use = SRV_USE_ANSWERS},
                    .json = {.memory = &memory}},
             *call = &own;
    int route = srv_route_find("POST", path, &call->model, &call->version);
    if (route >= 0) {
        call->route = &srv_routes[route];
        answer(call, line + 1, size - (size_t)(line - data) - 1);
    }
    srv_call_free(call);
    if (srv_memory_used(&memory) != 0) abort();
    return 0;
}
