/* SPDX-License-Identifier: Apache-2.0
 * What the parts of the HTTP server share. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include "retort.h"
#include "serve/queue/service.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

/* Work that may take long: a separate thread does it, one item at a time, while the main thread handles
 * signals. */
typedef enum srv_work {
    SRV_WORK_NONE,
    SRV_WORK_START,
    SRV_WORK_RELOAD,
    SRV_WORK_FREE,
    SRV_WORK_STOP
} srv_work;

struct MHD_Daemon;
struct srv_keys;
struct srv_log;
struct srv_helpers;
struct srv_connection;
typedef struct srv_server {
    srv_service service;
    struct MHD_Daemon *daemon;
    long connection_limit; /* what is asked for, or as many as there are descriptors for */
    long excess_limit;     /* connections beyond these that get an answer */
    int listen_fd;
    bool socket_given;     /* by systemd */
    bool made_socket;      /* a file to be removed; under the service's lock */
    atomic_ullong next_id; /* of a request */
    uint64_t id_seed;
    struct srv_keys *keys; /* under the service's lock */
    struct srv_log *log;
    struct srv_helpers *helpers;
    srv_work work; /* the main thread's, as the next two are */
    pthread_t worker;
    bool reload_due;        /* requested and not begun */
    bool accepting;         /* connections */
    int64_t until;          /* when the time of a shutdown state is up */
    atomic_bool work_ended; /* its result is in the next two */
    retort_status work_status;
    retort_error work_error;

    pthread_mutex_t connection_lock;
    struct srv_connection *connections;
    int wake_fd; /* eventfd: makes the main thread check the connections */
    int ends_fd; /* epoll: a client has closed its side */
} srv_server;

#endif
