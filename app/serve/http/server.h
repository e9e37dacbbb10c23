/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the server share. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "serve/wire/call.h"
#include "serve/http/state.h"

/* A name that is served: the engine behind it may be swapped. */
typedef struct srv_slot {
    const srv_model_spec *spec;
    srv_engine *engine; /* with one use by the slot; under the server's lock */
    srv_model_metrics metrics;
} srv_slot;

enum { SRV_CODES = 600 };

/* What may take long: a thread of its own does it, one at a time, while the main one listens to signals. */
typedef enum srv_work {
    SRV_WORK_NONE,
    SRV_WORK_START,
    SRV_WORK_RELOAD,
    SRV_WORK_FREE,
    SRV_WORK_STOP
} srv_work;

typedef struct srv_helpers srv_helpers;

struct srv_server {
    const srv_options *options;
    atomic_int state;    /* srv_state; the main thread alone changes it */
    srv_slot *slots;     /* [options->model_count] */
    srv_engine *retired; /* swapped out and perhaps still in use; under the lock */
    pthread_mutex_t lock;
    struct MHD_Daemon *daemon;
    long connection_limit; /* `options` may ask for more than descriptors allow */
    long excess_limit;     /* connections beyond these that are told so */
    int listen_fd;
    bool socket_given;       /* by systemd */
    bool made_socket;        /* a file, to be removed; under the lock */
    atomic_long in_flight;   /* calls between head and answer */
    atomic_ullong *requests; /* [routes + 1, SRV_CODES] answers; the last row: no route */
    atomic_ullong next_id;
    uint64_t id_seed;
    int64_t started;
    struct srv_keys *keys; /* under the lock */
    struct srv_log *log;
    srv_work work; /* the main thread's, as the next two are */
    pthread_t worker;
    bool reload_due;        /* asked for and not begun */
    bool accepting;         /* connections */
    int64_t until;          /* when the time of a state on the way down is over */
    atomic_bool work_ended; /* its result stands in the next two */
    retort_status work_status;
    retort_error work_error;
    srv_helpers *helpers;

    pthread_mutex_t connection_lock;
    srv_connection *connections;
    size_t connection_count;
    int wake_fd; /* eventfd: the main thread looks at the connections */
    int ends_fd; /* epoll: a client has closed its side */
};

static inline srv_state srv_server_state(srv_server *server) {
    return (srv_state)atomic_load(&server->state);
}
/* It is on its way down. */
static inline bool srv_server_leaving(srv_server *server) {
    return srv_server_state(server) >= SRV_STATE_DRAINING;
}

/* models.c. The engine for a route's task and a name (NULL text: the first that fits), in use; NULL: none. */
srv_engine *srv_server_engine(srv_server *server, int task, const srv_slice *name, bool *known);
/* Every engine is loaded and well, and the server is not on its way down. */
bool srv_server_ready(srv_server *server);
retort_status srv_load_keys(srv_server *server, retort_error *err);
retort_status srv_load_models(srv_server *server, retort_error *err);
/* Log, keys and models anew. What fails is said, and the old one stays. */
void srv_reload(srv_server *server);
/* Closes the retired engines that nobody uses any more. */
void srv_free_retired(srv_server *server);
/* How many retired engines there are, and how many of them nobody uses. */
size_t srv_retired_count(srv_server *server, size_t *unused);
/* No queue admits a request any more; those that wait are refused. */
void srv_refuse_waiting(srv_server *server);
/* All engines and keys, at the very end. */
void srv_free_models(srv_server *server);

/* http.c */
retort_status srv_http_start(srv_server *server, retort_error *err);
/* Closes connections whose clients are too slow. Returns how many connections there are. */
size_t srv_http_watch(srv_server *server);
/* Closes connections that are between two requests. */
void srv_http_close_idle(srv_server *server);
/* Connections that wait for a queue: the HTTP server must not end under them. */
size_t srv_http_waiting(srv_server *server);

/* head.c: notes a request's target before it is unescaped. */
void srv_head_target(srv_call *call, const char *target);
/* The path of a target, which may name the server as well: "http://host/path". */
const char *srv_head_path(const char *path);
/* Whether the head can be read in one way only, and has a body that can be read. False: srv_call_fail has
 * been called. */
bool srv_head_check(srv_call *call, const char *method, const char *version);
bool srv_head_check_encoding(srv_call *call);

/* helpers.c: threads that read long bodies. */
srv_helpers *srv_helpers_open(size_t threads); /* NULL: out of memory or threads */
/* Reads the body, and lets the call's connection, which is suspended, go on: at once or by the queue. */
void srv_helpers_put(srv_helpers *helpers, srv_call *call);
/* Once it has none. NULL is fine. */
void srv_helpers_close(srv_helpers *helpers);

/* sockets.c: a listening socket from the options or from systemd. */
retort_status srv_listen(srv_server *server, retort_error *err);
/* "http://127.0.0.1:8080" or "unix:/run/retort.sock" */
void srv_listen_address(const srv_server *server, char *out, size_t size);
void srv_notify(const char *state);
void srv_notify_reloading(void);

/* cors.c: headers for a page of another origin; false: it may not read the answer. */
bool srv_cors_headers(const srv_call *call, struct MHD_Response *response);
/* Whether a browser asks what a page may send, and what it is told. */
bool srv_cors_asks(const srv_call *call, const char *method);
void srv_cors_allow(const srv_call *call, struct MHD_Response *response);

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
/* A reader that has stopped is not waited for. */
void srv_log_close(srv_log *log);
/* Lines that were left out. */
unsigned long long srv_log_lost(const srv_log *log);
void srv_log_call(srv_log *log, const srv_call *call, const char *traceparent);

#endif
