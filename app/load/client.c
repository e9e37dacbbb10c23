/* SPDX-License-Identifier: Apache-2.0
 * Connections with edge-triggered epoll: after registration they cost only send and recv. */
#include "load/client.h"
#include "load/form.h"
#include "load/histogram.h"
#include "load/reason.h"
#include "load/target.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

static void drop(load_connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->state = LOAD_CLOSED;
}

static void give_back(load_client *client, load_connection *c) {
    size_t at = (client->free_head + client->free_count++) % client->plan->connections;
    client->free_ring[at] = (size_t)(c - client->connections);
}

/* The current request ends without an answer. */
static void lose(load_client *client, load_connection *c, load_loss loss) {
    drop(c);
    if (c->counted) {
        client->result->losses[loss]++;
        load_histogram_add(&client->result->latency, load_now() - c->due);
    }
    give_back(client, c);
}

static void count_answer(load_client *client, const load_connection *c, uint64_t now) {
    load_result *result = client->result;
    uint64_t latency = now - c->due, *hash = client->plan->hashes;
    int status = c->answer.status;
    bool good = status < 300, refused = status == 429 || status == 503;
    if (good && hash != NULL) {
        hash += c->request;
        result->different += *hash != 0 && *hash != c->answer.hash;
        if (*hash == 0) *hash = c->answer.hash;
    }
    if (good && now >= client->from && now < client->until) result->answered++;
    if (!c->counted) return;
    result->statuses[status]++;
    if (good) {
        load_histogram_add(&result->latency, latency);
        result->good += client->plan->deadline <= 0 || (double)latency <= client->plan->deadline * 1e9;
        return;
    }
    load_note_reason(result, &c->answer);
    if (!refused) return;
    load_histogram_add(&result->refusal, latency);
    result->refused++;
    result->retry_after += c->answer.retry_after;
}

static void finish(load_client *client, load_connection *c) {
    count_answer(client, c, load_now());
    c->state = LOAD_IDLE;
    c->used = true;
    if (!c->answer.keep) drop(c);
    give_back(client, c);
}

static void send_rest(load_client *client, load_connection *c);

/* Opens a connection for the current request. */
static void open_connection(load_client *client, load_connection *c) {
    const load_target *target = client->plan->target;
    int yes = 1;
    c->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->state = LOAD_OPENING;
    c->used = false;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (c->fd < 0 || epoll_ctl(client->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        lose(client, c, LOAD_CONNECT);
        return;
    }
    if (target->address.ss_family != AF_UNIX) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, (const struct sockaddr *)&target->address, target->length) == 0) {
        c->state = LOAD_BUSY;
        send_rest(client, c);
    } else if (errno != EINPROGRESS) {
        lose(client, c, LOAD_CONNECT);
    }
}

/* A kept-alive connection may end while a request is under way: clients resend it once. */
static void lost(load_client *client, load_connection *c) {
    bool again = c->state == LOAD_BUSY && c->used && !c->answer.touched && !c->resent;
    load_loss loss = c->state == LOAD_OPENING ? LOAD_CONNECT : LOAD_RESET;
    if (c->state == LOAD_IDLE) { /* no current request: it is free already */
        drop(c);
    } else if (again) {
        drop(c);
        c->resent = true;
        c->sent = 0;
        if (c->counted) client->result->resent++;
        open_connection(client, c);
    } else {
        lose(client, c, loss);
    }
}

static void send_rest(load_client *client, load_connection *c) {
    const load_requests *requests = client->plan->requests;
    const char *bytes = requests->bytes + requests->starts[c->request];
    size_t length = requests->starts[c->request + 1] - requests->starts[c->request];
    while (c->sent < length) {
        ssize_t n = send(c->fd, bytes + c->sent, length - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) {
            lost(client, c);
            return;
        }
        c->sent += (size_t)n;
    }
}

/* Reads from the server. False: the connection has ended or has no more data now. */
static bool take_bytes(load_client *client, load_connection *c, const char *bytes, size_t n) {
    size_t taken = 0;
    if (c->state != LOAD_BUSY) { /* an answer to nothing */
        drop(c);
        return false;
    }
    if (!load_answer_take(&c->answer, bytes, n, &taken)) {
        lose(client, c, LOAD_PROTOCOL);
        return false;
    }
    if (c->answer.stage != LOAD_COMPLETE) return true;
    if (taken < n) c->answer.keep = false; /* more than requested: do not trust what follows */
    finish(client, c);
    return c->state == LOAD_IDLE;
}

static void receive(load_client *client, load_connection *c, bool ended) {
    static char bytes[1 << 16];
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
        if (n > 0) {
            if (!take_bytes(client, c, bytes, (size_t)n)) return;
            if ((size_t)n < sizeof bytes && !ended) return; /* later data raises another event */
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else if (n == 0 && c->state == LOAD_BUSY && c->answer.touched && load_answer_end(&c->answer)) {
            finish(client, c);
            return;
        } else {
            lost(client, c);
            return;
        }
    }
}

static void handle(load_client *client, load_connection *c, uint32_t events) {
    if (c->state == LOAD_OPENING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0 || (events & (EPOLLERR | EPOLLHUP)) != 0) {
            lost(client, c);
            return;
        }
        if ((events & EPOLLOUT) == 0) return;
        c->state = LOAD_BUSY;
    }
    if (c->state == LOAD_BUSY && (events & EPOLLOUT) != 0) send_rest(client, c);
    bool ended = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if ((events & EPOLLIN) != 0 || ended) receive(client, c, ended);
}

bool load_client_wait(load_client *client, uint64_t ns) {
    enum { EVENTS = 256 };
    struct epoll_event events[EVENTS];
    struct timespec wait = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    int n = epoll_pwait2(client->epoll, events, EVENTS, &wait, NULL);
    if (n < 0 && errno != EINTR) {
        cli_error("epoll_pwait2: %s", strerror(errno));
        return false;
    }
    for (int i = 0; i < n; i++) handle(client, events[i].data.ptr, events[i].events);
    return true;
}

void load_client_send(load_client *client, size_t request, uint64_t due, bool counted) {
    load_connection *c = &client->connections[client->free_ring[client->free_head]];
    client->free_head = (client->free_head + 1) % client->plan->connections;
    client->free_count--;
    c->request = request;
    c->due = due;
    c->counted = counted;
    c->sent = 0;
    c->resent = false;
    c->answer = (load_answer){0};
    if (c->state == LOAD_IDLE) {
        c->state = LOAD_BUSY;
        send_rest(client, c);
    } else {
        open_connection(client, c);
    }
}

void load_client_expire(load_client *client, uint64_t oldest) {
    for (size_t i = 0; i < client->plan->connections; i++) {
        load_connection *c = &client->connections[i];
        bool waits = c->state == LOAD_BUSY || c->state == LOAD_OPENING;
        if (waits && c->due < oldest) lose(client, c, LOAD_TIMEOUT);
    }
}

/* Descriptors for all connections, and some for everything else. */
static bool raise_limit(size_t connections) {
    struct rlimit limit;
    rlim_t need = connections + 32;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) return true;
    limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= need) return true;
    cli_error("--connections: %zu connections need %zu descriptors, the limit is %zu", connections,
              (size_t)need, (size_t)limit.rlim_cur);
    return false;
}

cli_code load_client_open(load_client *client, const load_plan *plan, load_result *result) {
    *client = (load_client){.plan = plan, .result = result, .epoll = -1};
    if (!raise_limit(plan->connections)) return CLI_FAILED;
    client->connections = calloc(plan->connections, sizeof *client->connections);
    client->free_ring = calloc(plan->connections, sizeof *client->free_ring);
    if (client->connections == NULL || client->free_ring == NULL) return cli_no_memory();
    for (size_t i = 0; i < plan->connections; i++) {
        client->connections[i].fd = -1;
        client->free_ring[i] = i;
    }
    client->free_count = plan->connections;
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll >= 0) return CLI_DONE;
    cli_error("epoll_create1: %s", strerror(errno));
    return CLI_FAILED;
}

void load_client_close(load_client *client) {
    for (size_t i = 0; client->connections != NULL && i < client->plan->connections; i++)
        drop(&client->connections[i]);
    if (client->epoll >= 0) close(client->epoll);
    free(client->connections);
    free(client->free_ring);
}
