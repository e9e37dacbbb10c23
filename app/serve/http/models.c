/* SPDX-License-Identifier: Apache-2.0
 * The models that are served, and the keys: found, loaded, loaded anew, let go of. */
#include "serve/http/server.h"

#include <string.h>

/* ---- Finding ---- */

static bool is_named(const srv_slot *slot, const srv_slice *name) {
    return strlen(slot->spec->name) == name->length &&
           memcmp(slot->spec->name, name->text, name->length) == 0;
}

static bool does(const srv_engine *engine, int task) {
    bool infers = task == SRV_V2_TASKS && srv_v2_does(engine);
    return infers || task == SRV_ANY_TASK || task == (int)engine->info.task;
}

srv_engine *srv_server_engine(srv_server *server, int task, const srv_slice *name, bool *known) {
    srv_engine *found = NULL;
    *known = name->text == NULL;
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; found == NULL && i < server->options->model_count; i++) {
        srv_engine *engine = server->slots[i].engine;
        if (engine == NULL || (name->text != NULL && !is_named(&server->slots[i], name))) continue;
        *known = true;
        if (does(engine, task)) found = engine;
    }
    if (found != NULL) srv_engine_use(found);
    pthread_mutex_unlock(&server->lock);
    return found;
}

bool srv_server_ready(srv_server *server) {
    bool ready = !srv_server_leaving(server);
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; ready && i < server->options->model_count; i++) {
        ready = server->slots[i].engine != NULL && srv_engine_well(server->slots[i].engine);
    }
    pthread_mutex_unlock(&server->lock);
    return ready;
}

/* ---- Loading ---- */

static void say_loaded(srv_server *server, const srv_engine *engine, const char *path) {
    server->options->say("%s: %s, %s, isa %s, %d threads, %ld session%s, loaded and warm in %.0f ms%s",
                         engine->name, path, engine->info.recipe, engine->session.isa,
                         engine->session.threads, server->options->streams,
                         server->options->streams == 1 ? "" : "s", (double)engine->loaded_in * 1e-6,
                         server->options->no_op ? "; the network is NOT run (--no-op)" : "");
}

/* Nobody waits for the users of the engine that was there: it is retired. */
static void swap(srv_server *server, srv_slot *slot, srv_engine *engine) {
    srv_engine_use(engine); /* by the slot */
    pthread_mutex_lock(&server->lock);
    srv_engine *old = slot->engine;
    engine->state = SRV_MODEL_SERVING;
    slot->engine = engine;
    if (old != NULL) {
        old->state = SRV_MODEL_RETIRED;
        old->next = server->retired;
        server->retired = old;
    }
    pthread_mutex_unlock(&server->lock);
    if (old != NULL) srv_engine_leave(old);
}

static retort_status load_slot(srv_server *server, srv_slot *slot, retort_error *err) {
    srv_engine *engine = NULL;
    retort_status status = srv_engine_open(&engine, server->options, slot->spec, &slot->metrics, err);
    if (status != RETORT_OK) return status;
    if (srv_server_leaving(server)) { /* too late for a new model */
        srv_engine_close(engine);
        return RETORT_OK;
    }
    say_loaded(server, engine, slot->spec->path);
    swap(server, slot, engine);
    return RETORT_OK;
}

retort_status srv_load_keys(srv_server *server, retort_error *err) {
    srv_keys *keys = NULL;
    if (server->options->keys_path == NULL) return RETORT_OK;
    retort_status status = srv_keys_read(&keys, server->options->keys_path, err);
    if (status != RETORT_OK) return status;
    pthread_mutex_lock(&server->lock);
    srv_keys *old = server->keys;
    server->keys = keys;
    pthread_mutex_unlock(&server->lock);
    srv_keys_free(old);
    return RETORT_OK;
}

retort_status srv_load_models(srv_server *server, retort_error *err) {
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i < server->options->model_count; i++) {
        status = load_slot(server, &server->slots[i], err);
    }
    return status;
}

void srv_reload(srv_server *server) {
    retort_error err;
    srv_log_reopen(server->log);
    if (srv_load_keys(server, &err) != RETORT_OK)
        server->options->error("reload: %s; the old keys stay", err.text);
    for (size_t i = 0; i < server->options->model_count && !srv_server_leaving(server); i++) {
        if (load_slot(server, &server->slots[i], &err) == RETORT_OK) {
            srv_count(&server->slots[i].metrics.counters[SRV_RELOADS], 1);
        } else {
            server->options->error("reload: %s; the old model stays", err.text);
        }
    }
    srv_free_retired(server);
}

/* ---- Letting go ---- */

/* The first retired engine that nobody uses, out of the list; NULL: none. */
static srv_engine *take_unused(srv_server *server) {
    srv_engine *found = NULL;
    pthread_mutex_lock(&server->lock);
    for (srv_engine **link = &server->retired; *link != NULL; link = &(*link)->next) {
        if (!srv_engine_unused(*link)) continue;
        found = *link;
        *link = found->next;
        break;
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

void srv_free_retired(srv_server *server) {
    for (srv_engine *engine; (engine = take_unused(server)) != NULL;) srv_engine_close(engine);
}

size_t srv_retired_count(srv_server *server, size_t *unused) {
    size_t count = 0;
    *unused = 0;
    pthread_mutex_lock(&server->lock);
    for (srv_engine *at = server->retired; at != NULL; at = at->next) {
        count++;
        *unused += srv_engine_unused(at);
    }
    pthread_mutex_unlock(&server->lock);
    return count;
}

static void refuse(srv_engine *engine) {
    srv_queue_close(&engine->queue);
    srv_queue_drop(&engine->queue, SRV_END_DRAINED);
}

void srv_refuse_waiting(srv_server *server) {
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; server->slots != NULL && i < server->options->model_count; i++) {
        if (server->slots[i].engine != NULL) refuse(server->slots[i].engine);
    }
    for (srv_engine *at = server->retired; at != NULL; at = at->next) refuse(at);
    pthread_mutex_unlock(&server->lock);
}

void srv_free_models(srv_server *server) {
    for (size_t i = 0; server->slots != NULL && i < server->options->model_count; i++) {
        if (server->slots[i].engine == NULL) continue;
        srv_engine_leave(server->slots[i].engine);
        srv_engine_close(server->slots[i].engine);
    }
    while (server->retired != NULL) {
        srv_engine *next = server->retired->next;
        srv_engine_close(server->retired);
        server->retired = next;
    }
    srv_keys_free(server->keys);
}
