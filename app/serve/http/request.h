/* SPDX-License-Identifier: Apache-2.0
 * A call that came over HTTP, and its connection. */
#ifndef SERVE_REQUEST_H
#define SERVE_REQUEST_H

#include "serve/http/server.h"
#include "serve/wire/call.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;

typedef enum srv_stage { SRV_READING, SRV_REFUSING, SRV_WAITING, SRV_ANSWERING } srv_stage;

typedef struct srv_connection srv_connection;
typedef struct srv_request srv_request;

struct srv_request {
    srv_call call;
    srv_server *server;
    srv_connection *from;
    struct MHD_Connection *connection;
    const char *target, *target_end; /* as in the first line; its text has been unescaped since */
    bool odd_target;                 /* contains a space, or an escaped NUL */
    bool unframed;                   /* the length of the body is unknown: the connection must end */
    srv_stage stage;
    bool begun;          /* the head was checked */
    bool helped;         /* a helper has read the body: the connection is suspended */
    srv_request *behind; /* in the list of requests that wait for a helper */
    const char *allow;   /* methods of the path; or NULL */
    size_t received;     /* bytes of the body */
    size_t sent;         /* bytes of the answer that libmicrohttpd has taken */
    int64_t started;
};

/* A connection as the watchdog sees it, and its requests, one at a time. */
struct srv_connection {
    srv_connection *next, *previous;
    int fd;
    atomic_int stage;   /* srv_stage, or -1 between two requests */
    atomic_llong since; /* start of the stage; ns */
    bool excess;        /* beyond --max-connections: it gets one answer */
    atomic_bool used;   /* it has had a request */
    /* Owned by the main thread, for a connection between two requests: whether a head has begun to arrive. */
    int64_t quiet_since, head_since;
    uint64_t quiet_bytes;
    srv_request request;
};

/* A header of the request, or NULL. */
const char *srv_header(const srv_request *request, const char *name);
/* Ready for the connection's next request: small buffers stay. */
void srv_request_reset(srv_request *request);

#endif
