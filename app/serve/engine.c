/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/engine.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static retort_status fail(retort_error *err, retort_status status, const char *what) {
    err->status = status;
    snprintf(err->text, sizeof err->text, "serve: %s", what);
    return status;
}

/* ---- Workers ---- */

static bool reserve(srv_worker *w, size_t tokens) {
    if (tokens <= w->capacity) return true;
    size_t capacity = 2 * tokens;
    int32_t *ids = realloc(w->ids, capacity * sizeof *ids);
    if (ids != NULL) w->ids = ids;
    int32_t *types = realloc(w->types, capacity * sizeof *types);
    if (types != NULL) w->types = types;
    if (ids == NULL || types == NULL) return false;
    w->capacity = capacity;
    return true;
}

/* The answers to the batch, or NULL and what was wrong. */
static const float *run(srv_worker *w, const char **error) {
    const srv_batch *batch = &w->batch;
    retort_matrix out;
    size_t at = 0;
    *error = "out of memory";
    if (!reserve(w, batch->tokens)) return NULL;
    for (size_t i = 0; i < batch->count; i++) {
        const srv_row *row = batch->rows[i];
        w->offsets[i] = (int32_t)at;
        memcpy(w->ids + at, row->ids, row->tokens * sizeof *row->ids);
        memcpy(w->types + at, row->ids + row->tokens, row->tokens * sizeof *row->ids);
        at += row->tokens;
    }
    w->offsets[batch->count] = (int32_t)at;
    if (w->engine->options->no_op) return w->zeros;
    retort_batch ids = {w->ids, w->engine->info.types > 0 ? w->types : NULL, w->offsets, batch->count};
    retort_status status = retort_run(w->session, &ids, &out, NULL);
    *error = retort_status_text(status);
    return status == RETORT_OK ? out.data : NULL;
}

/* A worker that is woken shall not push the thread off the CPU that has put the request in: that one has more
 * of them at hand, which then make one batch. */
static void be_patient(void) {
    const struct sched_param priority = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &priority);
}

static void *work(void *user) {
    srv_worker *w = user;
    be_patient();
    while (srv_queue_take(&w->engine->queue, &w->batch)) {
        const char *error = NULL;
        atomic_store(&w->running, w->batch.started);
        const float *rows = w->batch.count > 0 ? run(w, &error) : NULL;
        atomic_store(&w->running, 0);
        if (w->batch.count > 0 && rows == NULL) {
            atomic_fetch_add(&w->engine->failures, 1);
            srv_count(&w->engine->queue.metrics->counters[SRV_FAILURES], 1);
        } else if (w->batch.count > 0) {
            atomic_store(&w->engine->failures, 0);
        }
        srv_queue_finish(&w->engine->queue, &w->batch, rows, rows == NULL ? error : NULL);
    }
    return NULL;
}

static void *watch(void *user) {
    srv_queue_watch(user);
    return NULL;
}

bool srv_engine_well(srv_engine *engine) {
    enum { FAILURES = 3 };
    static const int64_t hung = INT64_C(30000000000);
    for (size_t i = 0; i < engine->worker_count; i++) {
        int64_t since = atomic_load(&engine->workers[i].running);
        if (since != 0 && srv_now() - since > hung) return false;
    }
    return atomic_load(&engine->failures) < FAILURES;
}

static retort_status open_worker(srv_worker *w, srv_engine *engine, retort_error *err) {
    const srv_options *options = engine->options;
    retort_session_options session = RETORT_SESSION_OPTIONS;
    size_t rows = (size_t)options->batch_rows;
    session.isa = options->isa;
    session.provider = options->provider;
    session.threads = (int)options->threads;
    w->engine = engine;
    w->batch.rows = calloc(rows, sizeof *w->batch.rows);
    w->offsets = calloc(rows + 1, sizeof *w->offsets);
    w->zeros = options->no_op ? calloc(rows * (size_t)engine->info.labels, sizeof *w->zeros) : NULL;
    bool fits = w->batch.rows != NULL && w->offsets != NULL && (w->zeros != NULL || !options->no_op);
    if (!fits || !reserve(w, (size_t)options->batch_tokens)) return fail(err, RETORT_NOMEM, "out of memory");
    return retort_session_open(&w->session, engine->model, &session, err);
}

static void close_worker(srv_worker *w) {
    retort_session_close(w->session);
    free(w->batch.rows);
    free(w->offsets);
    free(w->ids);
    free(w->types);
    free(w->zeros);
}

/* ---- Warming up ---- */

/* Runs a short text alone and between long ones. Its row must be finite and have the same bits both times:
 * the engine promises that what else is in a batch changes nothing. */
static retort_status check_answers(srv_worker *w, const int32_t *ids, size_t n, float *first,
                                   retort_error *err) {
    size_t columns = (size_t)w->engine->info.labels;
    int32_t offsets[] = {0, (int32_t)n, (int32_t)(2 * n)}, *twice = malloc(2 * n * sizeof *twice);
    retort_matrix out;
    if (twice == NULL) return fail(err, RETORT_NOMEM, "out of memory");
    memcpy(twice, ids, n * sizeof *ids);
    memcpy(twice + n, ids, n * sizeof *ids);
    if (n > 2) twice[1] = twice[n - 2]; /* the first is another text */
    retort_batch alone = {ids, NULL, offsets, 1}, both = {twice, NULL, offsets, 2};
    retort_status status = retort_run(w->session, &alone, &out, err);
    if (status == RETORT_OK) memcpy(first, out.data, columns * sizeof *first);
    if (status == RETORT_OK) status = retort_run(w->session, &both, &out, err);
    free(twice);
    if (status != RETORT_OK) return status;
    for (size_t i = 0; i < columns; i++) {
        if (!isfinite(first[i])) return fail(err, RETORT_FORMAT, "the model's answers are not finite");
    }
    if (memcmp(first, out.data + columns, columns * sizeof *first) == 0) return RETORT_OK;
    return fail(err, RETORT_PROVIDER, "the same text had two answers while warming up");
}

static retort_status warm_up(srv_worker *w, retort_error *err) {
    static const char canary[] = "The quick brown fox jumps over the lazy dog, and nobody was harmed.";
    retort_text text = {.text = canary, .length = sizeof canary - 1};
    retort_tokens tokens = {0};
    float *first = malloc((size_t)w->engine->info.labels * sizeof *first);
    retort_status status = first != NULL ? retort_tokenize(w->engine->model, &text, NULL, &tokens, err)
                                         : fail(err, RETORT_NOMEM, "out of memory");
    if (status == RETORT_OK) status = check_answers(w, tokens.ids, tokens.count, first, err);
    retort_tokens_free(&tokens);
    free(first);
    return status;
}

/* ---- The engine ---- */

static retort_status load(srv_engine *engine, const char *path, retort_error *err) {
    struct stat info;
    retort_status status = stat(path, &info) == 0 && S_ISDIR(info.st_mode)
                               ? retort_model_import(&engine->model, path, NULL, err)
                               : retort_model_load(&engine->model, path, err);
    if (status != RETORT_OK) return status;
    engine->info.size = sizeof engine->info;
    retort_model_info(engine->model, &engine->info);
    if (engine->info.task == RETORT_TASK_CLASSIFY || engine->info.task == RETORT_TASK_EMBED) return RETORT_OK;
    err->status = RETORT_UNSUPPORTED;
    snprintf(err->text, sizeof err->text, "%s: serve takes models that classify or embed", path);
    return RETORT_UNSUPPORTED;
}

static retort_status open_workers(srv_engine *engine, retort_error *err) {
    retort_status status = RETORT_OK;
    engine->workers = calloc((size_t)engine->options->streams, sizeof *engine->workers);
    if (engine->workers == NULL) return fail(err, RETORT_NOMEM, "out of memory");
    for (long i = 0; status == RETORT_OK && i < engine->options->streams; i++) {
        srv_worker *w = &engine->workers[engine->worker_count++];
        status = open_worker(w, engine, err);
        if (status == RETORT_OK && !engine->options->no_op) status = warm_up(w, err);
    }
    if (status != RETORT_OK) return status;
    engine->session.size = sizeof engine->session;
    return retort_session_describe(engine->workers[0].session, &engine->session);
}

static retort_status start(srv_engine *engine, srv_model_metrics *metrics, retort_error *err) {
    const srv_options *options = engine->options;
    srv_queue_limits limits = {.batch_tokens = (size_t)options->batch_tokens,
                               .batch_rows = (size_t)options->batch_rows,
                               .queue_tokens = (size_t)options->queue_tokens,
                               .jobs = (size_t)options->jobs,
                               .wait = options->wait_us * INT64_C(1000),
                               .cache = (size_t)options->cache,
                               .columns = (size_t)engine->info.labels,
                               .workers = engine->worker_count};
    engine->queue_open = true;
    if (!srv_queue_open(&engine->queue, &limits, metrics)) return fail(err, RETORT_NOMEM, "out of memory");
    engine->watching = pthread_create(&engine->watcher, NULL, watch, &engine->queue) == 0;
    bool started = engine->watching;
    for (size_t i = 0; started && i < engine->worker_count; i++) {
        srv_worker *w = &engine->workers[i];
        started = w->started = pthread_create(&w->thread, NULL, work, w) == 0;
    }
    return started ? RETORT_OK : fail(err, RETORT_NOMEM, "cannot start threads");
}

retort_status srv_engine_open(srv_engine **out, const srv_options *options, const srv_model_spec *spec,
                              srv_model_metrics *metrics, retort_error *err) {
    int64_t from = srv_now();
    srv_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) return fail(err, RETORT_NOMEM, "out of memory");
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->unused, NULL);
    engine->options = options;
    engine->name = strdup(spec->name);
    retort_status status =
        engine->name != NULL ? load(engine, spec->path, err) : fail(err, RETORT_NOMEM, "out of memory");
    if (status == RETORT_OK) status = open_workers(engine, err);
    if (status == RETORT_OK) status = start(engine, metrics, err);
    engine->loaded_in = srv_now() - from;
    if (status == RETORT_OK) {
        *out = engine;
    } else {
        srv_engine_close(engine);
    }
    return status;
}

void srv_engine_close(srv_engine *engine) {
    if (engine == NULL) return;
    pthread_mutex_lock(&engine->lock);
    while (engine->users > 0) pthread_cond_wait(&engine->unused, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
    if (engine->queue_open) srv_queue_close(&engine->queue);
    if (engine->watching) pthread_join(engine->watcher, NULL);
    for (size_t i = 0; i < engine->worker_count; i++) {
        if (engine->workers[i].started) pthread_join(engine->workers[i].thread, NULL);
        close_worker(&engine->workers[i]);
    }
    if (engine->queue_open) srv_queue_free(&engine->queue);
    for (size_t i = 0; i < engine->encoder_count; i++) retort_encoder_close(engine->encoders[i]);
    free(engine->encoders);
    free(engine->workers);
    retort_model_free(engine->model);
    pthread_mutex_destroy(&engine->lock);
    pthread_cond_destroy(&engine->unused);
    free(engine->name);
    free(engine);
}

void srv_engine_use(srv_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->users++;
    pthread_mutex_unlock(&engine->lock);
}

void srv_engine_leave(srv_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    if (--engine->users == 0) pthread_cond_signal(&engine->unused);
    pthread_mutex_unlock(&engine->lock);
}

retort_encoder *srv_engine_encoder(srv_engine *engine) {
    retort_encoder *encoder = NULL;
    pthread_mutex_lock(&engine->lock);
    if (engine->encoder_count > 0) encoder = engine->encoders[--engine->encoder_count];
    pthread_mutex_unlock(&engine->lock);
    if (encoder != NULL || retort_encoder_open(&encoder, engine->model, NULL) == RETORT_OK) return encoder;
    return NULL;
}

void srv_engine_encoder_back(srv_engine *engine, retort_encoder *encoder) {
    pthread_mutex_lock(&engine->lock);
    if (engine->encoder_count == engine->encoder_capacity) {
        size_t capacity = 2 * engine->encoder_capacity + 4;
        retort_encoder **grown = realloc(engine->encoders, capacity * sizeof *grown);
        if (grown != NULL) {
            engine->encoders = grown;
            engine->encoder_capacity = capacity;
        }
    }
    bool kept = engine->encoder_count < engine->encoder_capacity;
    if (kept) engine->encoders[engine->encoder_count++] = encoder;
    pthread_mutex_unlock(&engine->lock);
    if (!kept) retort_encoder_close(encoder);
}
