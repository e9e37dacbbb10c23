/* SPDX-License-Identifier: Apache-2.0
 * What a run has counted. */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include "load/histogram.h"

#include <stdint.h>

/* Ways a request can end without an answer: id, name, what it means. */
#define LOAD_LOSSES(X)                                                                                       \
    X(CONNECT, "connect", "the connection was refused")                                                      \
    X(RESET, "reset", "the connection ended before the answer did")                                          \
    X(TIMEOUT, "timeout", "no answer within --timeout")                                                      \
    X(UNSENT, "unsent", "no connection was free within --timeout")                                           \
    X(PROTOCOL, "protocol", "the answer was not HTTP")
typedef enum load_loss {
#define LOAD_LOSS_ID(id, name, meaning) LOAD_##id,
    LOAD_LOSSES(LOAD_LOSS_ID)
#undef LOAD_LOSS_ID
        LOAD_LOSS_COUNT
} load_loss;
extern const struct load_loss_row { const char *name, *meaning; } load_losses[LOAD_LOSS_COUNT];

/* Errors of the server: at most this many different ones are kept. */
enum { LOAD_REASONS = 8 };
typedef struct load_reason {
    int status;
    char text[96];
    uint64_t count;
} load_reason;

/* The requests that were due within `duration` after `warmup`. Each counts once: in statuses or in losses. */
typedef struct load_result {
    double rate, seconds;
    uint64_t requests, statuses[600], losses[LOAD_LOSS_COUNT];
    uint64_t good;        /* 2xx within the deadline */
    uint64_t refused;     /* 429 and 503 */
    uint64_t retry_after; /* refused with Retry-After */
    uint64_t different;   /* 2xx, but different from the first answer to this text */
    uint64_t resent;      /* resent, as a kept-alive connection ended before the answer began */
    uint64_t answered;    /* 2xx that arrived within `duration`, whenever they were due */
    /* From when a request was due to its end: of 2xx and of requests without an answer, which count with
     * the time spent waiting; of refused ones; and the time until it was sent, while connections were
     * free. */
    load_histogram latency, refusal, lag;
    load_reason reasons[LOAD_REASONS];
} load_result;
double load_answers_per_second(const load_result *result);
uint64_t load_lost(const load_result *result);

#endif
