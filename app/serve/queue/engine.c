/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/queue/engine.h"
#include "serve/queue/texts.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
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

static bool is_finite(const float *row, size_t n) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) finite = finite && isfinite(row[i]);
    return finite;
}

/* The requested number of threads, or the machine's divided by the number of sessions. */
static int threads_of(const srv_options *options) {
    retort_machine machine = {.size = sizeof machine};
    if (options->threads > 0 || options->streams == 1 || retort_machine_describe(&machine) != RETORT_OK)
        return (int)options->threads;
    long share = machine.threads / options->streams;
    return share > 0 ? (int)share : 1;
}

static retort_session_options session_options(const srv_options *options, int threads) {
    retort_session_options session = RETORT_SESSION_OPTIONS;
    session.isa = options->isa;
    session.provider = options->provider;
    session.unpack = options->unpack;
    session.threads = threads;
    session.special_as_text = !options->keep_special;
    return session;
}

static retort_status open_sessions(srv_sessions *sessions, const srv_engine *engine, int threads,
                                   retort_error *err) {
    retort_session_options options = session_options(engine->options, threads);
    sessions->threads = threads;
    return retort_session_open(&sessions->session, engine->model, &options, err);
}

static void close_sessions(srv_sessions *sessions) {
    retort_session_close(sessions->session);
    retort_session_close(sessions->tokens);
}

/* What runs the batch at hand. */
static srv_sessions *sessions_of(srv_worker *w) {
    return w->batch.alone ? &w->engine->team : &w->own;
}

/* Collects the ids of the entries that request token vectors, or of the others, for retort_run. */
static retort_batch gather(srv_worker *w, bool tokens) {
    const srv_batch *batch = &w->batch;
    size_t n = 0, at = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const srv_entry *entry = batch->entries[i];
        if (srv_entry_has_tokens(entry) != tokens) continue;
        w->unpooled[n] = srv_entry_unpooled(entry);
        w->offsets[n++] = (int32_t)at;
        memcpy(w->ids + at, entry->key, entry->tokens * sizeof *entry->key);
        memcpy(w->types + at, entry->key + entry->tokens, entry->tokens * sizeof *entry->key);
        at += entry->tokens;
    }
    w->offsets[n] = (int32_t)at;
    return (retort_batch){w->ids, w->engine->info.types > 0 ? w->types : NULL, w->offsets, n};
}

/* Gives each entry of that kind its part of the result. Entries with rows that are not finite get none. */
static void hand_out(srv_worker *w, bool tokens, const retort_matrix *out) {
    const float *from = out->data;
    for (size_t i = 0; i < w->batch.count; i++) {
        const srv_entry *entry = w->batch.entries[i];
        if (srv_entry_has_tokens(entry) != tokens) continue;
        size_t n = (tokens ? entry->tokens : 1) * out->columns;
        if (from == NULL || is_finite(from, n)) {
            float *answer = calloc(n, sizeof *answer);
            if (answer != NULL && from != NULL) memcpy(answer, from, n * sizeof *answer);
            w->batch.answers[i] = answer;
        }
        if (from != NULL) from += n;
    }
}

/* Runs one batch of ids. RETORT_NOMEM, or why entries have no answer. */
static retort_status run_kind(srv_worker *w, bool tokens) {
    const srv_engine *engine = w->engine;
    retort_matrix out = {.columns = (size_t)(tokens ? engine->info.hidden : engine->info.labels)};
    retort_status status = RETORT_OK;
    retort_batch ids = gather(w, tokens);
    srv_sessions *sessions = sessions_of(w);
    if (ids.n == 0) return RETORT_NOMEM;
    if (tokens && sessions->tokens == NULL) {
        retort_session_options options = session_options(engine->options, sessions->threads);
        options.token_vectors = true;
        status = retort_session_open(&sessions->tokens, engine->model, &options, NULL);
    }
    if (status == RETORT_OK && !engine->options->no_op)
        status =
            retort_run_unpooled(tokens ? sessions->tokens : sessions->session, &ids, w->unpooled, &out, NULL);
    if (status != RETORT_OK && status != RETORT_NONFINITE) return status;
    if (status == RETORT_OK && engine->shadow != NULL && out.data != NULL)
        srv_shadow_note(engine->shadow, &ids, &out, retort_session_answered_by(sessions->session));
    hand_out(w, tokens, &out);
    return status != RETORT_OK ? status : RETORT_NOMEM;
}

static retort_status run_rows(srv_worker *w) {
    if (!reserve(w, w->batch.tokens)) return RETORT_NOMEM;
    retort_status status = run_kind(w, false), other = run_kind(w, true);
    return status != RETORT_NOMEM ? status : other;
}

/* Runs the batch; returns why entries have no answer. */
static retort_status run(srv_worker *w) {
    retort_status status = RETORT_NOMEM;
    if (srv_engine_has_rows(w->engine)) return run_rows(w);
    const srv_engine *engine = w->engine;
    const srv_text_runner runner = {engine->model, &engine->info, sessions_of(w)->session,
                                    engine->options->budget, engine->options->no_op};
    for (size_t i = 0; i < w->batch.count; i++) {
        w->batch.answers[i] = srv_text_run(&runner, w->batch.entries[i], &status);
    }
    return status;
}

/* A text without a finite answer, or with one that is too large, is no sign of bad health. */
static void note_failures(srv_worker *w, retort_status status) {
    size_t failed = 0;
    for (size_t i = 0; i < w->batch.count; i++) failed += w->batch.answers[i] == NULL;
    if (failed == 0) {
        atomic_store(&w->engine->failures, 0);
        return;
    }
    if (status != RETORT_NONFINITE && status != RETORT_LIMIT) atomic_fetch_add(&w->engine->failures, 1);
    srv_count(&w->engine->queue.metrics->counters[SRV_FAILURES], 1);
}

/* A worker that wakes up should not preempt the thread that submitted the request: that thread has more
 * requests to submit, which then form one batch. */
static void be_patient(void) {
    const struct sched_param priority = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &priority);
}

static void *work(void *user) {
    srv_worker *w = user;
    be_patient();
    while (srv_queue_take(&w->engine->queue, &w->batch)) {
        if (w->batch.count == 0) continue;
        atomic_store(&w->running, w->batch.started);
        retort_status status = run(w);
        atomic_store(&w->running, 0);
        note_failures(w, status);
        srv_queue_finish(&w->engine->queue, &w->batch, status);
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

static retort_status open_worker(srv_worker *w, srv_engine *engine, int threads, retort_error *err) {
    const srv_options *options = engine->options;
    size_t texts = (size_t)options->batch_texts;
    w->engine = engine;
    w->batch.entries = calloc(texts, sizeof *w->batch.entries);
    w->offsets = calloc(texts + 1, sizeof *w->offsets);
    w->unpooled = calloc(texts, sizeof *w->unpooled);
    w->batch.answers = calloc(texts, sizeof *w->batch.answers);
    bool fits =
        w->batch.entries != NULL && w->batch.answers != NULL && w->offsets != NULL && w->unpooled != NULL;
    if (!fits || !reserve(w, (size_t)options->batch_tokens)) return fail(err, RETORT_NOMEM, "out of memory");
    return open_sessions(&w->own, engine, threads, err);
}

static void close_worker(srv_worker *w) {
    close_sessions(&w->own);
    free(w->batch.entries);
    free(w->offsets);
    free(w->unpooled);
    free(w->ids);
    free(w->types);
    free(w->batch.answers);
}

/* ---- Warming up ---- */

/* Whether the session is of retort's own engine. The others may round a text otherwise in another batch. */
static bool is_native(const retort_session *session) {
    retort_session_info info = {.size = sizeof info};
    return retort_session_describe(session, &info) == RETORT_OK && strcmp(info.provider, "native") == 0;
}

/* Runs a text alone and after another one. In retort's own engine its rows must have the same bits both times:
 * the other texts of a batch must not change a result. */
static retort_status compare_runs(retort_session *session, const retort_batch *alone,
                                  const retort_batch *both, float **first, retort_error *err) {
    retort_matrix out;
    retort_status status = retort_run(session, alone, &out, err);
    if (status != RETORT_OK) return status;
    size_t n = out.rows * out.columns;
    *first = malloc(n * sizeof **first + 1);
    if (*first == NULL) return fail(err, RETORT_NOMEM, "out of memory");
    memcpy(*first, out.data, n * sizeof **first);
    status = retort_run(session, both, &out, err);
    if (status != RETORT_OK) return status;
    if (!is_native(session)) return RETORT_OK;
    if (memcmp(*first, out.data + out.rows * out.columns - n, n * sizeof **first) == 0) return RETORT_OK;
    return fail(err, RETORT_PROVIDER, "the same text gave two different answers during the warm-up");
}

static retort_status check_answers(retort_session *session, const retort_tokens *tokens, retort_error *err) {
    size_t n = tokens->count;
    int32_t offsets[] = {0, (int32_t)n, (int32_t)(2 * n)}, *twice = malloc(2 * n * sizeof *twice);
    float *first = NULL;
    if (twice == NULL) return fail(err, RETORT_NOMEM, "out of memory");
    memcpy(twice, tokens->ids, n * sizeof *twice);
    memcpy(twice + n, tokens->ids, n * sizeof *twice);
    if (n > 2) twice[1] = twice[n - 2]; /* makes the first one a different text */
    retort_batch alone = {tokens->ids, NULL, offsets, 1}, both = {twice, NULL, offsets, 2};
    retort_status status = compare_runs(session, &alone, &both, &first, err);
    free(first);
    free(twice);
    return status;
}

static retort_status warm_up(const srv_engine *engine, retort_session *session, retort_error *err) {
    const char *mask = retort_model_piece(engine->model, engine->info.mask);
    char canary[1024];
    snprintf(canary, sizeof canary, "The quick brown %s jumps over the lazy dog, and nobody was harmed.",
             mask != NULL ? mask : "fox");
    retort_text text = {0};
    text.text = canary;
    text.length = strlen(canary);
    retort_tokens tokens = {0};
    retort_status status = retort_tokenize(engine->model, &text, NULL, &tokens, err);
    if (status == RETORT_OK) status = check_answers(session, &tokens, err);
    retort_tokens_free(&tokens);
    return status;
}

/* ---- The engine ---- */

static retort_status load(srv_engine *engine, const char *path, retort_error *err) {
    struct stat info;
    retort_import_options import = RETORT_IMPORT_OPTIONS;
    retort_load_options load = RETORT_LOAD_OPTIONS;
    import.memory = load.memory = engine->options->memory;
    retort_status status = stat(path, &info) == 0 && S_ISDIR(info.st_mode)
                               ? retort_model_import(&engine->model, path, &import, err)
                               : retort_model_load_with(&engine->model, path, &load, err);
    if (status != RETORT_OK) return status;
    engine->info.size = sizeof engine->info;
    retort_model_info(engine->model, &engine->info);
    return RETORT_OK;
}

/* With one stream, retort's own engine and several threads: a worker for each thread, and a session that they share. Several
 * requests then run side by side, in sessions with one thread each, and none waits for a thread that another process keeps
 * from running. A request that is alone has all threads. Who waits for a batch to fill wants one that is as large as
 * possible. */
static retort_status open_team(srv_engine *engine, size_t *workers, int *threads, retort_error *err) {
    *workers = (size_t)engine->options->streams;
    *threads = threads_of(engine->options);
    if (*workers > 1 || *threads == 1 || engine->options->wait_us > 0) return RETORT_OK;
    retort_status status = open_sessions(&engine->team, engine, *threads, err);
    if (status != RETORT_OK) return status;
    engine->session.size = sizeof engine->session;
    status = retort_session_describe(engine->team.session, &engine->session);
    if (status != RETORT_OK) return status;
    if (engine->session.threads == 1 || !is_native(engine->team.session)) {
        close_sessions(&engine->team);
        engine->team = (srv_sessions){0};
        return RETORT_OK;
    }
    *workers = (size_t)engine->session.threads;
    *threads = 1;
    return RETORT_OK;
}

static retort_status open_workers(srv_engine *engine, retort_error *err) {
    size_t count;
    int threads;
    bool warm = !engine->options->no_op;
    retort_status status = open_team(engine, &count, &threads, err);
    bool team = engine->team.session != NULL;
    if (status == RETORT_OK && team && warm) status = warm_up(engine, engine->team.session, err);
    if (status != RETORT_OK) return status;
    engine->workers = calloc(count, sizeof *engine->workers);
    if (engine->workers == NULL) return fail(err, RETORT_NOMEM, "out of memory");
    for (size_t i = 0; status == RETORT_OK && i < count; i++) {
        srv_worker *w = &engine->workers[engine->worker_count++];
        status = open_worker(w, engine, threads, err);
        if (status == RETORT_OK && warm) status = warm_up(engine, w->own.session, err);
    }
    if (status != RETORT_OK || team) return status;
    engine->session.size = sizeof engine->session;
    return retort_session_describe(engine->workers[0].own.session, &engine->session);
}

/* The caches of all models share a quarter of the budget. */
static size_t cache_bytes(const srv_options *options) {
    size_t limit = options->budget != NULL ? options->budget->limit : 0;
    return limit > 0 ? limit / 4 / options->model_count : SIZE_MAX;
}

static retort_status start(srv_engine *engine, srv_model_metrics *metrics, retort_error *err) {
    const srv_options *options = engine->options;
    srv_queue_limits limits = {.batch_tokens = (size_t)options->batch_tokens,
                               .batch_texts = (size_t)options->batch_texts,
                               .queue_tokens = (size_t)options->queue_tokens,
                               .jobs = (size_t)options->jobs,
                               .wait = options->wait_us * INT64_C(1000),
                               .cache = (size_t)options->cache,
                               .cache_bytes = cache_bytes(options),
                               .memory = options->budget,
                               .team = engine->team.session != NULL,
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
    if (status == RETORT_OK) status = srv_shadow_open(&engine->shadow, engine->model, options, err);
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
    close_sessions(&engine->team);
    srv_shadow_close(engine->shadow);
    if (engine->queue_open) srv_queue_free(&engine->queue);
    for (size_t i = 0; i < engine->encoder_count; i++) srv_encoder_close(engine->encoders[i]);
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

bool srv_engine_unused(srv_engine *engine) {
    pthread_mutex_lock(&engine->lock);
    bool unused = engine->users == 0;
    pthread_mutex_unlock(&engine->lock);
    return unused;
}

bool srv_encoder_grow(srv_encoder *encoder, size_t capacity) {
    int32_t *grown = realloc(encoder->ids, 2 * capacity * sizeof *grown);
    if (grown == NULL) return false;
    encoder->ids = grown;
    encoder->types = grown + capacity;
    encoder->capacity = capacity;
    return true;
}

void srv_encoder_close(srv_encoder *encoder) {
    if (encoder == NULL) return;
    retort_encoder_close(encoder->encoder);
    free(encoder->ids);
    free(encoder);
}

srv_encoder *srv_engine_encoder(srv_engine *engine) {
    srv_encoder *encoder = NULL;
    pthread_mutex_lock(&engine->lock);
    if (engine->encoder_count > 0) encoder = engine->encoders[--engine->encoder_count];
    pthread_mutex_unlock(&engine->lock);
    if (encoder != NULL) return encoder;
    encoder = calloc(1, sizeof *encoder);
    bool fine = encoder != NULL && srv_encoder_grow(encoder, (size_t)engine->info.max_length + 1) &&
                retort_encoder_open(&encoder->encoder, engine->model, NULL) == RETORT_OK;
    if (fine) return encoder;
    srv_encoder_close(encoder);
    return NULL;
}

void srv_engine_encoder_back(srv_engine *engine, srv_encoder *encoder) {
    enum { KEPT_IDS = 1 << 16 }; /* the memory of a longer text is not kept */
    pthread_mutex_lock(&engine->lock);
    if (engine->encoder_count == engine->encoder_capacity) {
        size_t capacity = 2 * engine->encoder_capacity + 4;
        srv_encoder **grown = realloc(engine->encoders, capacity * sizeof *grown);
        if (grown != NULL) {
            engine->encoders = grown;
            engine->encoder_capacity = capacity;
        }
    }
    bool kept =
        engine->encoder_count < engine->encoder_capacity && encoder->capacity <= KEPT_IDS && !encoder->worn;
    if (kept) engine->encoders[engine->encoder_count++] = encoder;
    pthread_mutex_unlock(&engine->lock);
    if (!kept) srv_encoder_close(encoder);
}
