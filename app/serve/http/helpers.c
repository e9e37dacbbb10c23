/* SPDX-License-Identifier: Apache-2.0
 * Threads that read long bodies: these would block an HTTP thread, which serves many connections. */
#include "serve/http/helpers.h"
#include "serve/base/metrics.h"
#include "serve/http/mhd.h"
#include "serve/queue/queue.h"
#include "serve/wire/call.h"
#include "serve/wire/errors.h"
#include "serve/wire/run.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct srv_helpers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    srv_request *first, *last; /* that wait */
    bool closed;
    size_t thread_count;
    pthread_t threads[];
};

/* Whether nobody waits for the answer any more. */
static bool is_over(srv_request *request) {
    struct pollfd fd = {.fd = request->from->fd, .events = POLLRDHUP};
    int64_t now = srv_now();
    srv_model_metrics *metrics = &request->server->service.slots[0].metrics;
    if (poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
        srv_count(&metrics->rejected[SRV_CLIENT_GONE], 1);
        srv_call_fail(&request->call, SRV_ERROR_GONE, "the client closed the connection");
    } else if (now > request->call.job.deadline) {
        srv_count(&metrics->rejected[SRV_DEADLINE], 1);
        srv_call_fail(&request->call, SRV_ERROR_TIMEOUT, "the request waited %.0f ms, its time limit",
                      (double)(now - request->started) * 1e-6);
    }
    return request->call.failed;
}

static void help(srv_request *request) {
    struct MHD_Connection *connection = request->connection;
    if (!is_over(request) && srv_call_run(&request->call))
        return; /* the queue has the job and wakes the connection */
    srv_mhd.resume_connection(connection);
}

static void *work(void *user) {
    srv_helpers *helpers = user;
    const struct sched_param priority = {0};
    pthread_setschedparam(pthread_self(), SCHED_BATCH, &priority); /* HTTP threads go first */
    pthread_mutex_lock(&helpers->lock);
    for (;;) {
        while (helpers->first == NULL && !helpers->closed) pthread_cond_wait(&helpers->more, &helpers->lock);
        srv_request *request = helpers->first;
        if (request == NULL) break;
        helpers->first = request->behind;
        if (helpers->first == NULL) helpers->last = NULL;
        pthread_mutex_unlock(&helpers->lock);
        help(request);
        pthread_mutex_lock(&helpers->lock);
    }
    pthread_mutex_unlock(&helpers->lock);
    return NULL;
}

srv_helpers *srv_helpers_open(size_t threads) {
    srv_helpers *helpers = calloc(1, sizeof *helpers + threads * sizeof *helpers->threads);
    if (helpers == NULL) return NULL;
    pthread_mutex_init(&helpers->lock, NULL);
    pthread_cond_init(&helpers->more, NULL);
    while (helpers->thread_count < threads &&
           pthread_create(&helpers->threads[helpers->thread_count], NULL, work, helpers) == 0)
        helpers->thread_count++;
    if (helpers->thread_count == threads) return helpers;
    srv_helpers_close(helpers);
    return NULL;
}

void srv_helpers_close(srv_helpers *helpers) {
    if (helpers == NULL) return;
    pthread_mutex_lock(&helpers->lock);
    helpers->closed = true;
    pthread_cond_broadcast(&helpers->more);
    pthread_mutex_unlock(&helpers->lock);
    for (size_t i = 0; i < helpers->thread_count; i++) pthread_join(helpers->threads[i], NULL);
    pthread_mutex_destroy(&helpers->lock);
    pthread_cond_destroy(&helpers->more);
    free(helpers);
}

void srv_helpers_put(srv_helpers *helpers, srv_request *request) {
    pthread_mutex_lock(&helpers->lock);
    request->behind = NULL;
    *(helpers->last != NULL ? &helpers->last->behind : &helpers->first) = request;
    helpers->last = request;
    pthread_cond_signal(&helpers->more);
    pthread_mutex_unlock(&helpers->lock);
}
