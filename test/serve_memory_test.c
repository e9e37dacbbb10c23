/* SPDX-License-Identifier: Apache-2.0
 * Requests while memory runs out: for every n, with the n-th allocation failing (and again with all from the
 * n-th on), a body is read and answered. The answer is whole, or an error; nothing is lost. The bodies are
 * the fuzzer's. */
#include "failing_malloc.h"
#include "serve/wire/error_body.h"
#include "serve/wire/routes.h"
#include "serve/wire/run.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void say(const char *format, ...) {
    (void)format;
}

static srv_model_spec specs[2] = {{"classify", NULL}, {"embed", NULL}};
static srv_memory memory = {.limit = 1 << 28};
static const srv_options options = {.models = specs,
                                    .model_count = 2,
                                    .batch_tokens = 64,
                                    .batch_texts = 4,
                                    .queue_tokens = 4096,
                                    .jobs = 4,
                                    .items = 16,
                                    .overload_status = 429,
                                    .streams = 1,
                                    .threads = 1,
                                    .isa = "ref",
                                    .budget = &memory,
                                    .no_op = true,
                                    .say = say,
                                    .error = say};
static srv_service service = {.options = &options};
static char corpus[512];

static int open_models(void **unused) {
    (void)unused;
    static char paths[2][512];
    static srv_slot slots[2];
    const char *given = getenv("RETORT_ROOT"), *root = given != NULL ? given : ".";
    retort_error err;
    snprintf(paths[0], sizeof paths[0], "%s/test/golden/checkpoints/bert-classify", root);
    snprintf(paths[1], sizeof paths[1], "%s/test/golden/checkpoints/package-mean", root);
    snprintf(corpus, sizeof corpus, "%s/fuzz/corpus/http", root);
    pthread_mutex_init(&service.lock, NULL);
    service.slots = slots;
    for (size_t i = 0; i < 2; i++) {
        specs[i].path = paths[i];
        slots[i].spec = &specs[i];
        if (srv_engine_open(&slots[i].engine, &options, &specs[i], &slots[i].metrics, &err) != RETORT_OK)
            return -1;
    }
    return 0;
}

static int close_models(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 2; i++) srv_engine_close(service.slots[i].engine);
    return 0;
}

/* As a batch ends for which there is no memory, or there is. */
static void compute(srv_call *call) {
    call->job.end = SRV_END_DONE;
    for (size_t i = 0; i < call->job.count; i++) {
        srv_entry *entry = call->job.items[i].entry;
        entry->answer = calloc((size_t)call->engine->info.labels, sizeof(float));
        if (entry->answer == NULL) call->job.end = SRV_END_FAILED;
    }
    call->job.error = RETORT_NOMEM;
}

/* The status of the answer to a body. */
static unsigned answer(const char *path, const char *body, size_t size) {
    srv_call own = {.service = &service,
                    .body = {.memory = &memory, .use = SRV_USE_BODIES},
                    .answer = {.memory = &memory, .use = SRV_USE_ANSWERS},
                    .json = {.memory = &memory}},
             *call = &own;
    int route = srv_route_find("POST", path, &call->model, &call->version);
    assert_true(route >= 0);
    call->route = &srv_routes[route];
    srv_out_bytes(&call->body, body, size);
    if (srv_out_reserve(&call->body, 1)) {
        call->body.data[size] = '\0';
        if (srv_call_ask(call)) compute(call);
    } else {
        srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    }
    srv_call_answer(call);
    while (!call->writing.whole && !call->failed) srv_call_more(call);
    unsigned status = call->status;
    bool words = call->answer.data == NULL; /* as http.c has it */
    const char *text = words ? srv_call_last_words(call) : call->answer.data;
    size_t length = words ? strlen(text) : call->answer.length;
    bool whole = length > 1 && strchr("}]", text[length - 1]) && (!words || status == 500);
    srv_call_free(call);
    assert_true(whole);
    assert_int_equal(srv_memory_used(&memory), 0);
    return status;
}

/* The encoders that calls leave behind are kept for the next one. */
static void forget_encoders(void) {
    for (size_t i = 0; i < 2; i++) {
        srv_engine *engine = service.slots[i].engine;
        while (engine->encoder_count > 0) srv_encoder_close(engine->encoders[--engine->encoder_count]);
        free(engine->encoders);
        engine->encoders = NULL;
        engine->encoder_capacity = 0;
    }
}

static bool attempt(const char *path, const char *body, size_t size, long n, unsigned expected) {
    atomic_store(&asked, 0);
    atomic_store(&live, 0);
    atomic_store(&fail_at, n);
    atomic_store(&armed, true);
    unsigned status = answer(path, body, size);
    forget_encoders();
    atomic_store(&armed, false);
    bool failed = atomic_load(&asked) >= n;
    assert_int_equal(atomic_load(&live), 0);
    if (failed && status != expected && status != 500)
        fail_msg("%s: status %u with allocation %ld failing", path, status, n);
    if (!failed) assert_int_equal(status, expected);
    return failed;
}

static size_t attempts;

static void try_input(const char *path, const char *body, size_t size) {
    unsigned expected = answer(path, body, size);
    forget_encoders();
    for (int all = 0; all < 2; all++) {
        atomic_store(&sticky, all == 1);
        for (long n = 1; attempt(path, body, size, n, expected); n++) attempts++;
    }
}

static void answers_without_memory(void **unused) {
    (void)unused;
    static char data[1 << 16];
    size_t inputs = 0;
    DIR *folder = opendir(corpus);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[1024];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", corpus, entry->d_name);
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        size_t size = fread(data, 1, sizeof data - 1, file);
        fclose(file);
        char *body = memchr(data, '\n', size);
        assert_non_null(body);
        *body++ = '\0';
        try_input(data, body, size - (size_t)(body - data));
        inputs++;
    }
    closedir(folder);
    assert_true(inputs > 10 && attempts > 10 * inputs);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_without_memory)};
    return cmocka_run_group_tests_name("serve_memory", tests, open_models, close_models);
}
