/* SPDX-License-Identifier: Apache-2.0
 * The models that are served and the server's counters: what a call may look at. */
#ifndef SERVE_SERVICE_H
#define SERVE_SERVICE_H

#include "retort.h"
#include "serve/base/metrics.h"
#include "serve/base/options.h"
#include "serve/base/state.h"
#include "serve/queue/engine.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SRV_ANY_TASK = -1, SRV_V2_TASKS = -2 }; /* instead of a retort_task; the second: srv_engine_infers */

/* A part of a text; NULL: none. */
typedef struct srv_slice {
    const char *text;
    size_t length;
} srv_slice;

/* A name that is served; the engine behind it may be replaced. */
typedef struct srv_slot {
    const srv_model_spec *spec;
    srv_engine *engine; /* the slot counts as a user; under the service's lock */
    srv_model_metrics metrics;
} srv_slot;

enum { SRV_CODES = 600 };

struct srv_route;
typedef struct srv_service {
    const srv_options *options;
    atomic_int state;    /* srv_state; the main thread alone changes it */
    srv_slot *slots;     /* [options->model_count] */
    srv_engine *retired; /* replaced, perhaps still in use; under the lock */
    pthread_mutex_t lock;
    const struct srv_route *routes;
    size_t route_count;
    atomic_ullong *requests;   /* [route_count + 1, SRV_CODES] answers; the last row: no route */
    atomic_long in_flight;     /* requests between head and answer */
    atomic_size_t connections; /* that are open */
    atomic_ullong lines_lost;  /* of the access log */
    int64_t started;           /* seconds since 1970 */
} srv_service;

static inline srv_state srv_service_state(srv_service *service) {
    return (srv_state)atomic_load(&service->state);
}
/* Whether it is shutting down. */
static inline bool srv_service_leaving(srv_service *service) {
    return srv_service_state(service) >= SRV_STATE_DRAINING;
}

/* The first engine for a task with this name (NULL text: any name), with the caller as a user; NULL: none.
 * *known: a model has this name. */
srv_engine *srv_service_engine(srv_service *service, int task, const srv_slice *name, bool *known);
/* Whether every engine is loaded and well, and the server is not shutting down. */
bool srv_service_ready(srv_service *service);
retort_status srv_service_load(srv_service *service, retort_error *err);
/* Reloads the models. On failure, prints the error and keeps the old one. */
void srv_service_reload(srv_service *service);
/* Closes retired engines that are no longer used. */
void srv_service_free_retired(srv_service *service);
/* The number of retired engines, and of those that are unused. */
size_t srv_service_retired(srv_service *service, size_t *unused);
/* Closes all queues and refuses waiting requests. */
void srv_service_refuse(srv_service *service);
/* Frees all engines, at the very end. */
void srv_service_free(srv_service *service);

#endif
