/* SPDX-License-Identifier: Apache-2.0
 * Connections of a run: one request at a time on each, on one thread. */
#ifndef CLIENT_H
#define CLIENT_H

#include "cli/output.h"
#include "load/answer.h"
#include "load/plan.h"
#include "load/result.h"

#include <time.h>

typedef enum load_state { LOAD_CLOSED, LOAD_OPENING, LOAD_BUSY, LOAD_IDLE } load_state;
typedef struct load_connection {
    int fd;
    load_state state;
    bool used;      /* it has delivered an answer */
    bool resent;    /* the current request is being resent after an earlier connection ended */
    size_t request; /* the current one */
    size_t sent;    /* bytes of it */
    uint64_t due;   /* when it should have been sent */
    bool counted;   /* it was due within the measured period */
    load_answer answer;
} load_connection;

typedef struct load_client {
    const load_plan *plan;
    load_result *result;
    int epoll;
    load_connection *connections;
    size_t *free_ring; /* idle connections, first in, first out: all take turns */
    size_t free_head, free_count;
    uint64_t from, until; /* the measured period */
} load_client;

static inline uint64_t load_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

cli_code load_client_open(load_client *client, const load_plan *plan, load_result *result);
void load_client_close(load_client *client);
/* Sends a request on a free connection; there must be one. */
void load_client_send(load_client *client, size_t request, uint64_t due, bool counted);
/* Waits up to this many nanoseconds for events and handles them. False: this side failed (printed). */
bool load_client_wait(load_client *client, uint64_t ns);
/* Gives up requests that were due before `oldest`. */
void load_client_expire(load_client *client, uint64_t oldest);
#endif
