/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the server share. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "serve/call.h"

/* A name that is served: the engine behind it may be swapped. */
typedef struct srv_slot {
    const srv_model_spec *spec;
    srv_engine *engine; /* with one use by the slot; under the server's lock */
    srv_model_metrics metrics;
} srv_slot;

enum { SRV_CODES = 600 };

struct srv_server {
    const srv_options *options;
    srv_slot *slots; /* [options->model_count] */
    pthread_mutex_t lock;
    struct MHD_Daemon *daemon;
    int listen_fd;
    bool socket_given; /* by systemd */
    atomic_bool draining;
    atomic_long in_flight;   /* calls between head and answer */
    atomic_ullong *requests; /* [routes + 1, SRV_CODES] answers; the last row: no route */
    atomic_ullong next_id;
    uint64_t id_seed;
    int64_t started;
    struct srv_keys *keys; /* under the lock */
    struct srv_log *log;
    pthread_t reloader;
    bool reloading, reload_again, reloader_started; /* the first two under the lock */

    pthread_mutex_t connection_lock;
    srv_connection *connections;
    size_t connection_count;
    int wake_fd; /* eventfd: the main thread looks at the connections */
    int ends_fd; /* epoll: a client has closed its side */
};

/* The engine for a route's task and a name (NULL text: the first that fits), in use; NULL: none. */
srv_engine *srv_server_engine(srv_server *server, int task, const srv_slice *name, bool *known);
/* Every engine is loaded and well, and the server is not on its way down. */
bool srv_server_ready(srv_server *server);

/* http.c */
retort_status srv_http_start(srv_server *server, retort_error *err);
/* Closes connections whose clients are too slow. Returns how many connections there are. */
size_t srv_http_watch(srv_server *server);

/* sockets.c: a listening socket from the options or from systemd. */
retort_status srv_listen(srv_server *server, retort_error *err);
/* "http://127.0.0.1:8080" or "unix:/run/retort.sock" */
void srv_listen_address(const srv_server *server, char *out, size_t size);
void srv_notify(const char *state);

/* keys.c */
typedef struct srv_keys srv_keys;
retort_status srv_keys_read(srv_keys **out, const char *path, retort_error *err);
void srv_keys_free(srv_keys *keys);
/* In time that does not depend on where they differ. */
bool srv_keys_match(const srv_keys *keys, const char *key);

/* log.c: lines that a thread of its own writes. */
typedef struct srv_log srv_log;
retort_status srv_log_open(srv_log **out, const char *path, retort_error *err);
/* The same path once more: somebody may have moved the file away. */
void srv_log_reopen(srv_log *log);
void srv_log_close(srv_log *log);
void srv_log_call(srv_log *log, const srv_call *call, const char *traceparent);

#endif
