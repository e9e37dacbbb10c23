/* SPDX-License-Identifier: Apache-2.0
 * The server as a whole: its states (state.h), signals, startup and shutdown. The main thread does nothing
 * that may take long, so it reacts to signals in every state. */
#include "serve/http/serve.h"
#include "serve/base/out.h"
#include "serve/base/state.h"
#include "serve/http/helpers.h"
#include "serve/http/http.h"
#include "serve/http/keys.h"
#include "serve/http/log.h"
#include "serve/http/mhd.h"
#include "serve/http/server.h"
#include "serve/http/sockets.h"
#include "serve/queue/queue.h"
#include "serve/queue/service.h"
#include "serve/wire/routes.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
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

static const int64_t second = INT64_C(1000000000);

/* ---- Up ---- */

static retort_status fail(retort_error *err, const char *what) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "serve: %s: %s", what, strerror(errno));
    return RETORT_IO;
}

/* Raises the limit on descriptors, and limits connections to what it allows. */
static void raise_limits(srv_server *server) {
    enum { OWN = 16, EXCESS = 64 };
    struct rlimit files;
    long asked = server->service.options->connections;
    server->connection_limit = asked;
    server->excess_limit = EXCESS;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_max >= (rlim_t)(asked + EXCESS + OWN + 2 * server->service.options->http_threads)) return;
    long room = (long)files.rlim_max - OWN - 2 * server->service.options->http_threads;
    if (room < 2) room = 2;
    server->excess_limit = room / 4 < EXCESS ? room / 4 + 1 : EXCESS;
    server->connection_limit = room - server->excess_limit < asked ? room - server->excess_limit : asked;
    if (server->connection_limit == asked) return;
    server->service.options->say(
        "max_connections is %ld: the limit on open files, %ld, is not enough for %ld",
        server->connection_limit, (long)files.rlim_max, asked);
}

/* Writes a line to standard output. A reader that has stopped blocks nothing. */
static void put_line(srv_server *server, const srv_out *line) {
    enum { PATIENCE_MS = 1000 };
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    bool fine = !line->failed && poll(&out, 1, PATIENCE_MS) == 1 &&
                write(STDOUT_FILENO, line->data, line->length) == (ssize_t)line->length;
    if (!fine) server->service.options->error("standard output: cannot write the server's address");
}

static void say_listening(srv_server *server) {
    char address[400];
    srv_listen_address(server, address, sizeof address);
    server->service.options->say("listening on %s", address);
    if (strstr(address, "//0.0.0.0:") != NULL && server->service.options->keys_path == NULL)
        server->service.options->say(
            "anyone who can reach this machine can use the server: --api-keys FILE requires a key");
    if (!server->service.options->json) return;
    srv_out line = {0};
    srv_out_text(&line, "{\"event\":\"listening\",\"url\":");
    srv_out_string(&line, address, strlen(address));
    srv_out_format(&line, ",\"pid\":%ld}\n", (long)getpid());
    put_line(server, &line);
    srv_out_free(&line);
}

/* Opens what the main thread needs at once. */
static retort_status open_server(srv_server *server, retort_error *err) {
    const srv_options *options = server->service.options;
    pthread_mutex_init(&server->service.lock, NULL);
    pthread_mutex_init(&server->connection_lock, NULL);
    server->service.started = time(NULL);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->ends_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->wake_fd < 0 || server->ends_fd < 0) return fail(err, "descriptors");
    if (getrandom(&server->id_seed, sizeof server->id_seed, GRND_NONBLOCK) < 0)
        server->id_seed = (uint64_t)srv_now();
    server->service.slots = calloc(options->model_count, sizeof *server->service.slots);
    server->service.requests = calloc((srv_route_count + 1) * SRV_CODES, sizeof *server->service.requests);
    if (server->service.slots == NULL || server->service.requests == NULL) return fail(err, "memory");
    for (size_t i = 0; i < options->model_count; i++) server->service.slots[i].spec = &options->models[i];
    raise_limits(server);
    return RETORT_OK;
}

static retort_status load_keys(srv_server *server, retort_error *err) {
    srv_keys *keys = NULL;
    if (server->service.options->keys_path == NULL) return RETORT_OK;
    retort_status status = srv_keys_read(&keys, server->service.options->keys_path, err);
    if (status != RETORT_OK) return status;
    pthread_mutex_lock(&server->service.lock);
    srv_keys *old = server->keys;
    server->keys = keys;
    pthread_mutex_unlock(&server->service.lock);
    srv_keys_free(old);
    return RETORT_OK;
}

static retort_status start(srv_server *server, retort_error *err) {
    retort_status status = srv_mhd_load(err);
    if (status == RETORT_OK) status = load_keys(server, err);
    if (status == RETORT_OK) status = srv_listen(server, err);
    pthread_mutex_lock(&server->service.lock);
    server->made_socket =
        status == RETORT_OK && server->service.options->unix_path != NULL && !server->socket_given;
    pthread_mutex_unlock(&server->service.lock);
    if (status == RETORT_OK && server->service.options->access_path != NULL)
        status = srv_log_open(&server->log, server->service.options->access_path, &server->service.lines_lost,
                              err);
    if (status == RETORT_OK) status = srv_service_load(&server->service, err);
    return status == RETORT_OK ? srv_http_start(server, err) : status;
}

/* ---- Down ---- */

static size_t calls_in_flight(srv_server *server) {
    long n = atomic_load(&server->service.in_flight);
    return n > 0 ? (size_t)n : 0;
}

static void stop_listening(srv_server *server) {
    if (!server->accepting) return;
    server->accepting = false;
    srv_mhd.quiesce_daemon(server->daemon);
    if (!server->socket_given) shutdown(server->listen_fd, SHUT_RDWR);
    srv_http_close_idle(server);
}

static void drain(srv_server *server) {
    srv_notify("STOPPING=1");
    server->service.options->say("draining: %zu requests in flight", calls_in_flight(server));
    server->until = srv_now() + server->service.options->drain_delay * second;
}

static void cut(srv_server *server) {
    size_t left = calls_in_flight(server);
    if (left > 0) server->service.options->say("giving up %zu requests", left);
    stop_listening(server);
    srv_service_refuse(&server->service);
    server->until = srv_now() + second;
}

static void remove_socket(srv_server *server) {
    pthread_mutex_lock(&server->service.lock);
    if (server->made_socket) unlink(server->service.options->unix_path);
    server->made_socket = false;
    pthread_mutex_unlock(&server->service.lock);
}

/* Ends the process while its threads are still working: on a batch, on loading a model, in a blocked
 * write. */
static _Noreturn void leave(srv_server *server) {
    remove_socket(server);
    _exit(server->work_status == RETORT_OK ? 0 : 1);
}

static void stop(srv_server *server) {
    const struct timespec pause = {.tv_nsec = 2000000};
    while (srv_http_waiting(server) > 0) nanosleep(&pause, NULL); /* until their batches end */
    if (server->daemon != NULL) srv_mhd.stop_daemon(server->daemon);
    srv_helpers_close(server->helpers);
    srv_service_free(&server->service);
    srv_keys_free(server->keys);
    srv_log_close(server->log);
}

static void close_server(srv_server *server) {
    remove_socket(server);
    if (server->listen_fd >= 0) close(server->listen_fd);
    if (server->wake_fd >= 0) close(server->wake_fd);
    if (server->ends_fd >= 0) close(server->ends_fd);
    free(server->service.slots);
    free(server->service.requests);
    pthread_mutex_destroy(&server->service.lock);
    pthread_mutex_destroy(&server->connection_lock);
}

/* ---- Work ---- */

/* Reopens the log and reloads keys and models. On failure, prints the error and keeps the old ones. */
static void reload(srv_server *server) {
    retort_error err;
    srv_log_reopen(server->log);
    if (load_keys(server, &err) != RETORT_OK)
        server->service.options->error("reload: %s; the old keys stay in use", err.text);
    srv_service_reload(&server->service);
}

static void *work(void *user) {
    srv_server *server = user;
    retort_status status = RETORT_OK;
    switch (server->work) {
    case SRV_WORK_START:
        status = start(server, &server->work_error);
        break;
    case SRV_WORK_RELOAD:
        reload(server);
        break;
    case SRV_WORK_FREE:
        srv_service_free_retired(&server->service);
        break;
    case SRV_WORK_STOP:
        stop(server);
        break;
    case SRV_WORK_NONE:
        break;
    }
    if (status != RETORT_OK) server->work_status = status;
    atomic_store(&server->work_ended, true);
    eventfd_write(server->wake_fd, 1);
    return NULL;
}

static bool begin_work(srv_server *server, srv_work kind) {
    server->work = kind;
    atomic_store(&server->work_ended, false);
    if (pthread_create(&server->worker, NULL, work, server) == 0) return true;
    server->work = SRV_WORK_NONE;
    return false;
}

/* The kind of work that has ended. */
static srv_work end_work(srv_server *server) {
    srv_work ended = server->work;
    if (ended == SRV_WORK_NONE || !atomic_load(&server->work_ended)) return SRV_WORK_NONE;
    pthread_join(server->worker, NULL);
    server->work = SRV_WORK_NONE;
    return ended;
}

/* False: it is still going on. */
static bool wait_for_work(srv_server *server, int64_t until) {
    struct pollfd wake = {.fd = server->wake_fd, .events = POLLIN};
    eventfd_t woken;
    for (int64_t now; server->work != SRV_WORK_NONE && (now = srv_now()) < until;) {
        poll(&wake, 1, (int)((until - now) / 1000000) + 1);
        eventfd_read(server->wake_fd, &woken);
        end_work(server);
    }
    return server->work == SRV_WORK_NONE;
}

static void finish(srv_server *server) {
    enum { CLOSING_SECONDS = 2 };
    int64_t until = srv_now() + CLOSING_SECONDS * second;
    bool ended =
        wait_for_work(server, until) && begin_work(server, SRV_WORK_STOP) && wait_for_work(server, until);
    if (!ended) leave(server);
    close_server(server);
}

/* ---- The main thread ---- */

static void handle(srv_server *server, srv_event event) {
    srv_state before = srv_service_state(&server->service);
    srv_step step = srv_step_from(before, event);
    atomic_store(&server->service.state, (int)step.next);
    switch (step.action) {
    case SRV_DO_ASK:
        server->reload_due = true;
        break;
    case SRV_DO_RELOAD:
        server->reload_due = false;
        srv_notify_reloading();
        if (begin_work(server, SRV_WORK_RELOAD)) break;
        server->service.options->error("reload: cannot start a thread");
        handle(server, SRV_ON_LOADED);
        break;
    case SRV_DO_READY:
        if (before == SRV_STATE_STARTING) say_listening(server);
        srv_notify("READY=1");
        break;
    case SRV_DO_DRAIN:
        drain(server);
        break;
    case SRV_DO_CUT:
        cut(server);
        break;
    case SRV_DO_QUIT:
        leave(server);
    case SRV_DO_NOTHING:
        break;
    }
}

static void take_signals(srv_server *server, int signals) {
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info)
        handle(server, info.ssi_signo == SIGHUP ? SRV_ON_HUP : SRV_ON_TERM);
}

static void look_after_work(srv_server *server) {
    srv_work ended = end_work(server);
    if (ended == SRV_WORK_START) {
        bool fine = server->work_status == RETORT_OK;
        server->accepting = fine;
        handle(server, fine ? SRV_ON_LOADED : SRV_ON_FAILED);
    } else if (ended == SRV_WORK_RELOAD) {
        handle(server, SRV_ON_LOADED);
    }
}

static void begin_due_work(srv_server *server) {
    size_t unused;
    if (server->work != SRV_WORK_NONE) return;
    if (server->reload_due) {
        handle(server, SRV_ON_DUE);
    } else if (srv_service_retired(&server->service, &unused) > 0 && unused > 0) {
        begin_work(server, SRV_WORK_FREE);
    }
}

static void look_after_drain(srv_server *server) {
    if (!srv_service_leaving(&server->service)) return;
    int64_t now = srv_now();
    if (server->accepting && now >= server->until) {
        stop_listening(server);
        server->until = now + server->service.options->drain_timeout * second;
    }
    if (server->accepting) return;
    if (calls_in_flight(server) == 0) {
        handle(server, SRV_ON_DRAINED);
    } else if (now >= server->until) {
        handle(server, SRV_ON_LATE);
    }
}

/* Half of systemd's watchdog interval in ms; -1: no watchdog. */
static int watchdog_ms(void) {
    const char *text = getenv("WATCHDOG_USEC");
    long us = text != NULL ? atol(text) : 0;
    return us > 0 && us < 3600000000L ? (int)(us / 2000) + 1 : -1;
}

static int earlier(int timeout, int other) {
    return other >= 0 && (timeout < 0 || other < timeout) ? other : timeout;
}

/* soon: a client may have left */
static int next_timeout(srv_server *server, bool soon) {
    enum { WATCH_MS = 1000, SOON_MS = 25, DRAIN_MS = 5 };
    size_t unused, looked_at = srv_http_watch(server) + srv_service_retired(&server->service, &unused);
    int timeout = looked_at == 0 ? -1 : soon ? SOON_MS : WATCH_MS;
    int watchdog = watchdog_ms();
    if (watchdog > 0 && srv_service_ready(&server->service)) srv_notify("WATCHDOG=1");
    return earlier(earlier(timeout, watchdog), srv_service_leaving(&server->service) ? DRAIN_MS : -1);
}

static bool take_ends(srv_server *server) {
    struct epoll_event ends[64];
    return epoll_wait(server->ends_fd, ends, 64, 0) > 0;
}

static void run(srv_server *server, int signals) {
    struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
                           {.fd = server->wake_fd, .events = POLLIN},
                           {.fd = server->ends_fd, .events = POLLIN}};
    bool soon = false;
    eventfd_t woken;
    while (srv_service_state(&server->service) != SRV_STATE_STOPPED) {
        int timeout = next_timeout(server, soon);
        /* More closed connections do not shorten the pause: they may come and go by the thousand. */
        if (poll(fds, soon ? 2 : 3, timeout) < 0 && errno != EINTR) break;
        soon = take_ends(server);
        eventfd_read(server->wake_fd, &woken);
        look_after_work(server);
        take_signals(server, signals);
        begin_due_work(server);
        look_after_drain(server);
    }
}

/* The signals stay blocked: a late one must not kill a process that is ending in order. */
static int take_over_signals(void) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    return signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

retort_status srv_serve(const srv_options *options, retort_error *err) {
    srv_server server = {
        .service = {.options = options, .routes = srv_routes, .route_count = srv_route_count},
        .listen_fd = -1,
        .wake_fd = -1,
        .ends_fd = -1};
    int signals = take_over_signals();
    retort_status status = signals >= 0 ? RETORT_OK : fail(err, "signalfd");
    if (status == RETORT_OK) status = open_server(&server, err);
    if (status == RETORT_OK && !begin_work(&server, SRV_WORK_START)) status = fail(err, "thread");
    if (status == RETORT_OK) {
        run(&server, signals);
        status = server.work_status;
        *err = server.work_error;
        finish(&server);
    } else {
        close_server(&server);
    }
    if (signals >= 0) close(signals);
    return status;
}
