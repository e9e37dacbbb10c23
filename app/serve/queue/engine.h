/* SPDX-License-Identifier: Apache-2.0
 * A loaded model with the sessions and threads that serve it. */
#ifndef SERVE_ENGINE_H
#define SERVE_ENGINE_H

#include "retort.h"
#include "serve/base/metrics.h"
#include "serve/base/options.h"
#include "serve/queue/queue.h"
#include "serve/queue/shadow.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct srv_engine srv_engine;

/* A loaded model's states. A retired one is closed when nobody uses it any more: srv_service_free_retired. */
typedef enum srv_model_state {
    SRV_MODEL_LOADING, /* being loaded and warmed up; invisible to others */
    SRV_MODEL_SERVING, /* it takes requests */
    SRV_MODEL_RETIRED  /* replaced by another with its name; finishes what it has begun */
} srv_model_state;

typedef struct srv_sessions {
    retort_session *session;
    retort_session *tokens; /* for token vectors; opened when first requested */
    int threads;            /* of each */
} srv_sessions;

/* A worker: its sessions and what it needs to run batches. */
typedef struct srv_worker {
    srv_engine *engine;
    srv_sessions own;
    pthread_t thread;
    bool started;
    srv_batch batch;
    int32_t *ids, *types, *offsets, *unpooled;
    size_t capacity;      /* tokens */
    atomic_llong running; /* since when; 0: idle */
} srv_worker;

/* Turns texts into ids, for one call at a time. */
typedef struct srv_encoder {
    retort_encoder *encoder;
    int32_t *ids, *types; /* [capacity] */
    size_t capacity;
    bool worn; /* grown by a long text: it is not kept */
} srv_encoder;

struct srv_engine {
    const srv_options *options;
    char *name;
    retort_model *model;
    retort_info info;
    retort_session_info session;
    srv_queue queue;
    srv_sessions team;  /* of all threads, for the worker whose batch is alone; else unused */
    srv_shadow *shadow; /* of a cascade; else NULL */
    bool queue_open, watching;
    pthread_t watcher;
    srv_worker *workers;
    size_t worker_count;
    atomic_int failures;   /* consecutive batches that could not be run */
    int64_t loaded_in;     /* ns */
    srv_model_state state; /* like `next`, under the service's lock */
    srv_engine *next;      /* of the retired */

    atomic_size_t tokenized; /* tokens of /tokenize whose answers have not been sent */

    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t unused;
    size_t users;
    srv_encoder **encoders; /* [encoder_count] not in use */
    size_t encoder_count, encoder_capacity;
};

/* Loads the model, warms it up, checks its answers and starts its workers. */
retort_status srv_engine_open(srv_engine **out, const srv_options *options, const srv_model_spec *spec,
                              srv_model_metrics *metrics, retort_error *err);
/* Waits for all users and jobs, then frees the engine. Accepts NULL. */
void srv_engine_close(srv_engine *engine);
void srv_engine_use(srv_engine *engine);
void srv_engine_leave(srv_engine *engine);
bool srv_engine_unused(srv_engine *engine);

/* Whether the model turns the ids of a text into one row of numbers; otherwise answers are parts of the
 * text. */
static inline bool srv_engine_has_rows(const srv_engine *engine) {
    return engine->info.task == RETORT_TASK_CLASSIFY || engine->info.task == RETORT_TASK_EMBED;
}
/* Whether the model has outputs in the Open Inference Protocol. */
static inline bool srv_engine_infers(const srv_engine *engine) {
    return srv_engine_has_rows(engine) || engine->info.task == RETORT_TASK_TAG;
}

/* NULL when out of memory. */
srv_encoder *srv_engine_encoder(srv_engine *engine);
void srv_engine_encoder_back(srv_engine *engine, srv_encoder *encoder);
/* Makes room for this many ids and drops the present ones. False: out of memory. */
bool srv_encoder_grow(srv_encoder *encoder, size_t capacity);
void srv_encoder_close(srv_encoder *encoder);
/* Whether the engine works: no worker hangs, and not all recent batches failed. */
bool srv_engine_well(srv_engine *engine);

#endif
