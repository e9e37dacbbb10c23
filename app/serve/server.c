/* SPDX-License-Identifier: Apache-2.0
 * The server as a whole: models, signals, the way up and the way down. */
#include "serve/server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- Models ---- */

static bool is_named(const srv_slot *slot, const srv_slice *name) {
    return strlen(slot->spec->name) == name->length &&
           memcmp(slot->spec->name, name->text, name->length) == 0;
}

static bool does(const srv_engine *engine, int task) {
    bool rows = task == SRV_ROW_TASKS && srv_engine_has_rows(engine);
    return rows || task == SRV_ANY_TASK || task == (int)engine->info.task;
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
    bool ready = !atomic_load(&server->draining);
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; ready && i < server->options->model_count; i++) {
        ready = server->slots[i].engine != NULL && srv_engine_well(server->slots[i].engine);
    }
    pthread_mutex_unlock(&server->lock);
    return ready;
}

static void say_loaded(srv_server *server, const srv_engine *engine, const char *path) {
    server->options->say("%s: %s, %s, isa %s, %d threads, %ld sessions, loaded and warm in %.0f ms%s",
                         engine->name, path, engine->info.recipe, engine->session.isa,
                         engine->session.threads, server->options->streams, (double)engine->loaded_in * 1e-6,
                         server->options->no_op ? "; the network is NOT run (--no-op)" : "");
}

/* Loads a slot's model beside the one that is there, and swaps. What the old one has begun it ends. */
static retort_status load_slot(srv_server *server, srv_slot *slot, retort_error *err) {
    srv_engine *engine = NULL;
    retort_status status = srv_engine_open(&engine, server->options, slot->spec, &slot->metrics, err);
    if (status != RETORT_OK) return status;
    srv_engine_use(engine); /* by the slot */
    say_loaded(server, engine, slot->spec->path);
    pthread_mutex_lock(&server->lock);
    srv_engine *old = slot->engine;
    slot->engine = engine;
    pthread_mutex_unlock(&server->lock);
    if (old != NULL) srv_engine_leave(old);
    srv_engine_close(old);
    return RETORT_OK;
}

static retort_status load_keys(srv_server *server, retort_error *err) {
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

static void reload_all(srv_server *server) {
    retort_error err;
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(srv_now() / 1000));
    srv_notify(state);
    srv_log_reopen(server->log);
    if (load_keys(server, &err) != RETORT_OK)
        server->options->error("reload: %s; the old keys stay", err.text);
    for (size_t i = 0; i < server->options->model_count; i++) {
        if (load_slot(server, &server->slots[i], &err) == RETORT_OK) {
            srv_count(&server->slots[i].metrics.counters[SRV_RELOADS], 1);
        } else {
            server->options->error("reload: %s; the old model stays", err.text);
        }
    }
    srv_notify("READY=1");
}

/* Whether it is to be done once more; if not, the thread is as good as gone. */
static bool was_asked_again(srv_server *server) {
    pthread_mutex_lock(&server->lock);
    bool again = server->reload_again;
    server->reload_again = false;
    server->reloading = again;
    pthread_mutex_unlock(&server->lock);
    return again;
}

static void *reload(void *user) {
    do {
        reload_all(user);
    } while (was_asked_again(user));
    return NULL;
}

/* In a thread of its own: the old model may have much to finish. */
static void start_reload(srv_server *server) {
    pthread_mutex_lock(&server->lock);
    bool busy = server->reloading;
    server->reload_again = busy;
    server->reloading = true;
    pthread_mutex_unlock(&server->lock);
    if (busy) return;
    if (server->reloader_started) pthread_join(server->reloader, NULL);
    server->reloader_started = pthread_create(&server->reloader, NULL, reload, server) == 0;
    if (server->reloader_started) return;
    server->options->error("reload: cannot start a thread");
    was_asked_again(server);
}

/* ---- Up ---- */

static retort_status fail(retort_error *err, const char *what) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "serve: %s: %s", what, strerror(errno));
    return RETORT_IO;
}

static void raise_limits(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static void say_listening(srv_server *server) {
    char address[400];
    srv_listen_address(server, address, sizeof address);
    server->options->say("listening on %s", address);
    if (strstr(address, "//0.0.0.0:") != NULL && server->options->keys_path == NULL)
        server->options->say("anybody who reaches this machine can use it: --api-keys FILE asks for a key");
    if (!server->options->json) return;
    srv_out line = {0};
    srv_out_text(&line, "{\"event\":\"listening\",\"url\":");
    srv_out_string(&line, address, strlen(address));
    srv_out_format(&line, ",\"pid\":%ld}\n", (long)getpid());
    if (!line.failed) fwrite(line.data, 1, line.length, stdout);
    fflush(stdout);
    srv_out_free(&line);
}

static retort_status open_server(srv_server *server, retort_error *err) {
    const srv_options *options = server->options;
    pthread_mutex_init(&server->lock, NULL);
    pthread_mutex_init(&server->connection_lock, NULL);
    server->started = time(NULL);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->ends_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->wake_fd < 0 || server->ends_fd < 0) return fail(err, "descriptors");
    if (getrandom(&server->id_seed, sizeof server->id_seed, GRND_NONBLOCK) < 0)
        server->id_seed = (uint64_t)srv_now();
    server->slots = calloc(options->model_count, sizeof *server->slots);
    server->requests = calloc((srv_route_count + 1) * SRV_CODES, sizeof *server->requests);
    if (server->slots == NULL || server->requests == NULL) return fail(err, "memory");
    for (size_t i = 0; i < options->model_count; i++) server->slots[i].spec = &options->models[i];
    raise_limits();
    retort_status status = srv_mhd_load(err);
    if (status == RETORT_OK) status = load_keys(server, err);
    if (status == RETORT_OK) status = srv_listen(server, err);
    if (status == RETORT_OK && options->access_path != NULL)
        status = srv_log_open(&server->log, options->access_path, err);
    for (size_t i = 0; status == RETORT_OK && i < options->model_count; i++) {
        status = load_slot(server, &server->slots[i], err);
    }
    return status == RETORT_OK ? srv_http_start(server, err) : status;
}

static void close_server(srv_server *server) {
    if (server->daemon != NULL) srv_mhd.stop_daemon(server->daemon);
    for (size_t i = 0; server->slots != NULL && i < server->options->model_count; i++) {
        srv_engine *engine = server->slots[i].engine;
        if (engine != NULL) srv_engine_leave(engine);
        srv_engine_close(engine);
    }
    if (server->listen_fd >= 0) close(server->listen_fd);
    if (server->listen_fd >= 0 && server->options->unix_path != NULL && !server->socket_given)
        unlink(server->options->unix_path);
    if (server->wake_fd >= 0) close(server->wake_fd);
    if (server->ends_fd >= 0) close(server->ends_fd);
    srv_log_close(server->log);
    srv_keys_free(server->keys);
    free(server->slots);
    free(server->requests);
    pthread_mutex_destroy(&server->lock);
    pthread_mutex_destroy(&server->connection_lock);
}

/* ---- Down ---- */

static size_t jobs_in_flight(srv_server *server) {
    size_t jobs = 0;
    for (size_t i = 0; i < server->options->model_count; i++) {
        srv_queue *queue = &server->slots[i].engine->queue;
        pthread_mutex_lock(&queue->lock);
        jobs += queue->jobs;
        pthread_mutex_unlock(&queue->lock);
    }
    return jobs;
}

static void close_idle_connections(srv_server *server) {
    pthread_mutex_lock(&server->connection_lock);
    for (srv_connection *at = server->connections; at != NULL; at = at->next) {
        if (atomic_load(&at->stage) < 0) shutdown(at->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->connection_lock);
}

/* A further signal ends it at once. */
static bool is_interrupted(int signals) {
    struct signalfd_siginfo info;
    return read(signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGHUP;
}

/* Waits until `count` gives 0, for so many seconds at most. False: it did not, or a signal came. */
static bool wait_for(srv_server *server, size_t (*count)(srv_server *server), long seconds, int signals) {
    const struct timespec pause = {.tv_nsec = 2000000};
    int64_t end = srv_now() + seconds * INT64_C(1000000000);
    while (count(server) > 0) {
        if (srv_now() > end || is_interrupted(signals)) return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

static size_t calls_in_flight(srv_server *server) {
    long n = atomic_load(&server->in_flight);
    return n > 0 ? (size_t)n : 0;
}

static size_t one(srv_server *server) {
    (void)server;
    return 1;
}

static retort_status drain(srv_server *server, int signals, retort_error *err) {
    const srv_options *options = server->options;
    enum { BATCH_SECONDS = 30, SEND_SECONDS = 2 };
    srv_notify("STOPPING=1");
    options->say("draining: %zu requests in flight", calls_in_flight(server));
    if (options->drain_delay > 0) wait_for(server, one, options->drain_delay, signals);
    srv_mhd.quiesce_daemon(server->daemon);
    if (!server->socket_given) shutdown(server->listen_fd, SHUT_RDWR);
    close_idle_connections(server);
    bool drained = wait_for(server, calls_in_flight, options->drain_timeout, signals);
    if (!drained) options->say("%zu requests are given up", calls_in_flight(server));
    for (size_t i = 0; i < options->model_count; i++) {
        srv_queue_close(&server->slots[i].engine->queue);
        srv_queue_drop(&server->slots[i].engine->queue, SRV_END_DRAINED);
    }
    /* A suspended connection must not meet the end of the HTTP server. */
    if (wait_for(server, jobs_in_flight, BATCH_SECONDS, signals)) {
        if (!drained) wait_for(server, calls_in_flight, SEND_SECONDS, signals);
        return RETORT_OK;
    }
    snprintf(err->text, sizeof err->text, "serve: a batch did not end");
    options->error("%s", err->text);
    _exit(1);
}

/* ---- The main thread ---- */

/* Half of the time within which systemd wants to hear from it, in ms; -1: it does not. */
static int watchdog_ms(void) {
    const char *text = getenv("WATCHDOG_USEC");
    long us = text != NULL ? atol(text) : 0;
    return us > 0 && us < 3600000000L ? (int)(us / 2000) + 1 : -1;
}

/* soon: a client may have left */
static int next_timeout(srv_server *server, bool soon) {
    enum { WATCH_MS = 1000, SOON_MS = 25 };
    int watchdog = watchdog_ms();
    int timeout = srv_http_watch(server) == 0 ? -1 : soon ? SOON_MS : WATCH_MS;
    if (watchdog > 0 && srv_server_ready(server)) srv_notify("WATCHDOG=1");
    return watchdog > 0 && (timeout < 0 || watchdog < timeout) ? watchdog : timeout;
}

static bool take_ends(srv_server *server) {
    struct epoll_event ends[64];
    return epoll_wait(server->ends_fd, ends, 64, 0) > 0;
}

/* Until a signal says so. */
static void run(srv_server *server, int signals) {
    struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
                           {.fd = server->wake_fd, .events = POLLIN},
                           {.fd = server->ends_fd, .events = POLLIN}};
    bool soon = false;
    struct signalfd_siginfo info;
    eventfd_t woken;
    for (;;) {
        int timeout = next_timeout(server, soon);
        /* Further ends do not cut the pause short: connections may come and go by the thousand. */
        if (poll(fds, soon ? 2 : 3, timeout) < 0 && errno != EINTR) break;
        soon = take_ends(server);
        eventfd_read(server->wake_fd, &woken);
        if (read(signals, &info, sizeof info) != sizeof info) continue;
        if (info.ssi_signo != SIGHUP) break;
        start_reload(server);
    }
    atomic_store(&server->draining, true);
    if (server->reloader_started) pthread_join(server->reloader, NULL);
}

retort_status srv_serve(const srv_options *options, retort_error *err) {
    srv_server server = {.options = options, .listen_fd = -1, .wake_fd = -1, .ends_fd = -1};
    sigset_t mask, before;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    retort_status status = signals >= 0 ? open_server(&server, err) : fail(err, "signalfd");
    if (status == RETORT_OK) {
        say_listening(&server);
        srv_notify("READY=1");
        run(&server, signals);
        status = drain(&server, signals, err);
    }
    close_server(&server);
    if (signals >= 0) close(signals);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
