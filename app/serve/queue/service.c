/* SPDX-License-Identifier: Apache-2.0
 * Models: found, loaded, reloaded, retired. */
#include "serve/queue/service.h"
#include "serve/queue/queue.h"

#include <string.h>

/* ---- Finding ---- */

static bool is_named(const srv_slot *slot, const srv_slice *name) {
    return strlen(slot->spec->name) == name->length &&
           memcmp(slot->spec->name, name->text, name->length) == 0;
}

static bool does(const srv_engine *engine, int task) {
    bool infers = task == SRV_V2_TASKS && srv_engine_infers(engine);
    return infers || task == SRV_ANY_TASK || task == (int)engine->info.task;
}

srv_engine *srv_service_engine(srv_service *service, int task, const srv_slice *name, bool *known) {
    srv_engine *found = NULL;
    *known = name->text == NULL;
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; found == NULL && i < service->options->model_count; i++) {
        srv_engine *engine = service->slots[i].engine;
        if (engine == NULL || (name->text != NULL && !is_named(&service->slots[i], name))) continue;
        *known = true;
        if (does(engine, task)) found = engine;
    }
    if (found != NULL) srv_engine_use(found);
    pthread_mutex_unlock(&service->lock);
    return found;
}

bool srv_service_ready(srv_service *service) {
    bool ready = !srv_service_leaving(service);
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; ready && i < service->options->model_count; i++) {
        ready = service->slots[i].engine != NULL && srv_engine_well(service->slots[i].engine);
    }
    pthread_mutex_unlock(&service->lock);
    return ready;
}

/* ---- Loading ---- */

static void say_loaded(srv_service *service, const srv_engine *engine, const char *path) {
    service->options->say("%s: %s, %s, isa %s, %d thread%s, %ld stream%s, loaded and warm in %.0f ms%s",
                          engine->name, path, engine->info.recipe, engine->session.isa,
                          engine->session.threads, engine->session.threads == 1 ? "" : "s",
                          service->options->streams, service->options->streams == 1 ? "" : "s",
                          (double)engine->loaded_in * 1e-6,
                          service->options->no_op ? "; the model is NOT run (--no-op)" : "");
}

/* Retires the previous engine instead of waiting for its users. */
static void swap(srv_service *service, srv_slot *slot, srv_engine *engine) {
    srv_engine_use(engine); /* by the slot */
    pthread_mutex_lock(&service->lock);
    srv_engine *old = slot->engine;
    engine->state = SRV_MODEL_SERVING;
    slot->engine = engine;
    if (old != NULL) {
        old->state = SRV_MODEL_RETIRED;
        old->next = service->retired;
        service->retired = old;
    }
    pthread_mutex_unlock(&service->lock);
    if (old != NULL) srv_engine_leave(old);
}

static retort_status load_slot(srv_service *service, srv_slot *slot, retort_error *err) {
    srv_engine *engine = NULL;
    retort_status status = srv_engine_open(&engine, service->options, slot->spec, &slot->metrics, err);
    if (status != RETORT_OK) return status;
    if (srv_service_leaving(service)) { /* too late for a new model */
        srv_engine_close(engine);
        return RETORT_OK;
    }
    say_loaded(service, engine, slot->spec->path);
    swap(service, slot, engine);
    return RETORT_OK;
}

retort_status srv_service_load(srv_service *service, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < service->options->model_count; i++) {
        status = load_slot(service, &service->slots[i], err);
    }
    return status;
}

void srv_service_reload(srv_service *service) {
    retort_error err;
    for (size_t i = 0; i < service->options->model_count && !srv_service_leaving(service); i++) {
        if (load_slot(service, &service->slots[i], &err) == RETORT_OK) {
            srv_count(&service->slots[i].metrics.counters[SRV_RELOADS], 1);
        } else {
            service->options->error("reload: %s; the old model stays in use", err.text);
        }
    }
    srv_service_free_retired(service);
}

/* ---- Letting go ---- */

/* Takes the first unused engine off the list of retired ones; NULL: none. */
static srv_engine *take_unused(srv_service *service) {
    srv_engine *found = NULL;
    pthread_mutex_lock(&service->lock);
    for (srv_engine **link = &service->retired; *link != NULL; link = &(*link)->next) {
        if (!srv_engine_unused(*link)) continue;
        found = *link;
        *link = found->next;
        break;
    }
    pthread_mutex_unlock(&service->lock);
    return found;
}

void srv_service_free_retired(srv_service *service) {
    for (srv_engine *engine; (engine = take_unused(service)) != NULL;) srv_engine_close(engine);
}

size_t srv_service_retired(srv_service *service, size_t *unused) {
    size_t count = 0;
    *unused = 0;
    pthread_mutex_lock(&service->lock);
    for (srv_engine *at = service->retired; at != NULL; at = at->next) {
        count++;
        *unused += srv_engine_unused(at);
    }
    pthread_mutex_unlock(&service->lock);
    return count;
}

static void refuse(srv_engine *engine) {
    srv_queue_close(&engine->queue);
    srv_queue_drop(&engine->queue, SRV_END_DRAINED);
}

void srv_service_refuse(srv_service *service) {
    pthread_mutex_lock(&service->lock);
    for (size_t i = 0; service->slots != NULL && i < service->options->model_count; i++) {
        if (service->slots[i].engine != NULL) refuse(service->slots[i].engine);
    }
    for (srv_engine *at = service->retired; at != NULL; at = at->next) refuse(at);
    pthread_mutex_unlock(&service->lock);
}

void srv_service_free(srv_service *service) {
    for (size_t i = 0; service->slots != NULL && i < service->options->model_count; i++) {
        if (service->slots[i].engine == NULL) continue;
        srv_engine_leave(service->slots[i].engine);
        srv_engine_close(service->slots[i].engine);
    }
    while (service->retired != NULL) {
        srv_engine *next = service->retired->next;
        srv_engine_close(service->retired);
        service->retired = next;
    }
}
