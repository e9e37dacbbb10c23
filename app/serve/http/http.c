/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd's callbacks. A request begins with its first line, reads its body, perhaps waits for the
 * queue (its connection suspended), and ends when the answer is sent. */
#include "serve/http/http.h"
#include "serve/base/memory.h"
#include "serve/base/metrics.h"
#include "serve/base/options.h"
#include "serve/base/out.h"
#include "serve/http/cors.h"
#include "serve/http/head.h"
#include "serve/http/helpers.h"
#include "serve/http/keys.h"
#include "serve/http/log.h"
#include "serve/http/mhd.h"
#include "serve/http/request.h"
#include "serve/queue/queue.h"
#include "serve/queue/service.h"
#include "serve/wire/call.h"
#include "serve/wire/error_body.h"
#include "serve/wire/errors.h"
#include "serve/wire/routes.h"
#include "serve/wire/run.h"

#include <errno.h>
#include <linux/tcp.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* This much of a body that is too large or unwanted is read and discarded, so that the client sees the
 * answer and not a broken connection. */
enum { SWALLOWED = 1 << 28, CONNECTION_MEMORY = 16 << 10 };

/* What the kernel buffers for a client that does not read (it doubles the value), and the bytes per second
 * that a client must take, apart from the grace of the read timeout. Helpers read longer bodies: 16 kB
 * take about a millisecond. */
enum { SEND_BUFFER = 64 << 10, LEAST_RATE = 64 << 10, LONG_BODY = 16 << 10 };

/* ---- Connections ---- */

static void set_stage(srv_connection *from, int stage) {
    atomic_store(&from->since, srv_now());
    atomic_store(&from->stage, stage);
}

static srv_connection *connection_open(srv_server *server, struct MHD_Connection *connection) {
    srv_connection *from = calloc(1, sizeof *from);
    const union MHD_ConnectionInfo *info =
        srv_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (from == NULL || info == NULL) {
        free(from);
        return NULL;
    }
    struct epoll_event end = {.events = EPOLLRDHUP | EPOLLET};
    from->fd = info->connect_fd;
    from->request.call.body = (srv_out){.memory = server->service.options->budget, .use = SRV_USE_BODIES};
    from->request.call.answer = (srv_out){.memory = server->service.options->budget, .use = SRV_USE_ANSWERS};
    from->request.call.json.memory = server->service.options->budget;
    setsockopt(from->fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
    set_stage(from, -1);
    epoll_ctl(server->ends_fd, EPOLL_CTL_ADD, from->fd, &end);
    pthread_mutex_lock(&server->connection_lock);
    bool first = server->connections == NULL;
    from->excess = atomic_fetch_add(&server->service.connections, 1) >= (size_t)server->connection_limit;
    if (from->excess) srv_count(&server->service.slots[0].metrics.rejected[SRV_CONNECTIONS], 1);
    from->next = server->connections;
    if (from->next != NULL) from->next->previous = from;
    server->connections = from;
    pthread_mutex_unlock(&server->connection_lock);
    if (first) eventfd_write(server->wake_fd, 1);
    return from;
}

static void connection_close(srv_server *server, srv_connection *from) {
    pthread_mutex_lock(&server->connection_lock);
    *(from->previous != NULL ? &from->previous->next : &server->connections) = from->next;
    if (from->next != NULL) from->next->previous = from->previous;
    atomic_fetch_sub(&server->service.connections, 1);
    pthread_mutex_unlock(&server->connection_lock);
    srv_call_free(&from->request.call);
    free(from);
}

static void on_connection(void *user, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = connection_open(user, connection);
    } else if (*context != NULL) {
        connection_close(user, *context);
        *context = NULL;
    }
}

static const int64_t second = INT64_C(1000000000);

/* Bytes received over a TCP connection; 0 if the system does not report them. */
static uint64_t bytes_received(int fd) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    bool known = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                 size >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received;
    return known ? info.tcpi_bytes_received : 0;
}

/* When an incomplete first line began to arrive, as seen by one check per second; 0: none has.
 * libmicrohttpd does not report a head before its first line is complete. */
static int64_t begun(srv_connection *at, int64_t now) {
    int64_t since = atomic_load(&at->since);
    uint64_t received = bytes_received(at->fd);
    if (at->quiet_since != since) {
        at->quiet_since = since;
        at->quiet_bytes = at->used ? received : 0;
        at->head_since = 0;
    }
    if (at->head_since == 0 && received != at->quiet_bytes) at->head_since = now;
    return at->head_since;
}

static bool is_too_slow(const srv_server *server, srv_connection *at, int64_t now) {
    int64_t busy = server->service.options->read_timeout * second, since = atomic_load(&at->since);
    int64_t quiet = at->excess ? second : busy + server->service.options->idle_timeout * second;
    int stage = atomic_load(&at->stage);
    if (stage == SRV_WAITING) return false;
    if (stage >= 0) return now - since >= busy;
    int64_t head = begun(at, now);
    return now - since >= quiet || (head != 0 && now - head >= busy);
}

/* Tells a silent client beyond --max-connections why it is disconnected. */
static void refuse_silent(const srv_connection *at) {
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n"
                                 "Content-Length: 0\r\n\r\n";
    if (!at->excess || atomic_load(&at->stage) >= 0) return;
    ssize_t n = send(at->fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n; /* it is disconnected in any case */
}

/* A client that has closed its side during a request, or between two. libmicrohttpd misses this if the end
 * arrives with the last bytes: epoll raises only one edge for both. */
static bool has_left(const srv_connection *at, int64_t now) {
    static const int64_t just_now = INT64_C(20000000);
    struct pollfd fd = {.fd = at->fd, .events = POLLRDHUP};
    int stage = atomic_load(&at->stage), unread = 0;
    if (stage > SRV_REFUSING || now - atomic_load(&at->since) < just_now || poll(&fd, 1, 0) <= 0)
        return false;
    bool ended = (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
    return ended && (ioctl(at->fd, FIONREAD, &unread) != 0 || unread == 0);
}

size_t srv_http_watch(srv_server *server) {
    int64_t now = srv_now();
    pthread_mutex_lock(&server->connection_lock);
    for (srv_connection *at = server->connections; at != NULL; at = at->next) {
        bool slow = is_too_slow(server, at, now);
        if (!slow && !has_left(at, now)) continue;
        if (slow) refuse_silent(at);
        set_stage(at, atomic_load(&at->stage)); /* not again right away */
        shutdown(at->fd, SHUT_RDWR);
        if (slow && !at->excess) srv_count(&server->service.slots[0].metrics.rejected[SRV_SLOW_CLIENT], 1);
    }
    size_t count = atomic_load(&server->service.connections);
    pthread_mutex_unlock(&server->connection_lock);
    return count;
}

void srv_http_close_idle(srv_server *server) {
    pthread_mutex_lock(&server->connection_lock);
    for (srv_connection *at = server->connections; at != NULL; at = at->next) {
        if (atomic_load(&at->stage) < 0) shutdown(at->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->connection_lock);
}

size_t srv_http_waiting(srv_server *server) {
    size_t count = 0;
    pthread_mutex_lock(&server->connection_lock);
    for (srv_connection *at = server->connections; at != NULL; at = at->next) {
        count += atomic_load(&at->stage) == SRV_WAITING;
    }
    pthread_mutex_unlock(&server->connection_lock);
    return count;
}

/* ---- A request's beginning and end ---- */

static srv_request *request_of(srv_job *job) {
    return (srv_request *)((char *)job - offsetof(srv_request, call.job));
}

static void hold(srv_job *job) {
    srv_request *request = request_of(job);
    if (request->helped) return; /* its connection is suspended already */
    request->stage = SRV_WAITING;
    atomic_store(&request->from->stage, SRV_WAITING);
    srv_mhd.suspend_connection(request->connection);
}

static void done(srv_job *job) {
    srv_mhd.resume_connection(request_of(job)->connection);
}

static srv_connection *connection_of(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info =
        srv_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void *on_first_line(void *user, const char *uri, struct MHD_Connection *connection) {
    srv_server *server = user;
    srv_connection *from = connection_of(connection);
    if (from == NULL) return NULL;
    srv_request *request = &from->request;
    request->server = server;
    request->call.service = &server->service;
    request->call.job.fd = from->fd;
    request->call.job.hold = hold;
    request->call.job.done = done;
    request->connection = connection;
    request->from = from;
    request->started = srv_now();
    srv_head_target(request, uri);
    atomic_fetch_add(&server->service.in_flight, 1);
    set_stage(from, SRV_READING);
    return request;
}

static void count_request(srv_request *request) {
    srv_call *call = &request->call;
    srv_server *server = request->server;
    size_t route = call->route != NULL ? (size_t)(call->route - srv_routes) : srv_route_count;
    if (call->status > 0 && call->status < SRV_CODES)
        srv_count(&server->service.requests[route * SRV_CODES + call->status], 1);
    if (call->job.items != NULL && call->engine != NULL && call->status == 200)
        srv_observe(call->engine->queue.metrics, SRV_DURATION,
                    (unsigned long long)(call->answered - request->started));
}

static void on_completed(void *user, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    srv_request *request = *context;
    (void)user;
    (void)connection;
    (void)code;
    if (request == NULL) return;
    srv_server *server = request->server;
    request->from->used = true;
    count_request(request);
    if (server->log != NULL) srv_log_call(server->log, request, srv_header(request, "traceparent"));
    set_stage(request->from, -1);
    srv_request_reset(request);
    *context = NULL;
    atomic_fetch_sub(&server->service.in_flight, 1);
}

/* ---- The answer ---- */

static void add(struct MHD_Response *response, const char *name, const char *value) {
    srv_mhd.add_response_header(response, name, value);
}

/* Writes the digits of a number and a NUL; returns the end of the digits. */
static char *put_number(char *to, uint64_t value) {
    char digits[24];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0) *to++ = digits[--n];
    *to = '\0';
    return to;
}

static void add_number(struct MHD_Response *response, const char *name, int64_t value) {
    char text[24];
    put_number(text, value > 0 ? (uint64_t)value : 0);
    add(response, name, text);
}

/* "name;dur=1.234" in milliseconds. */
static char *put_time(char *to, const char *name, int64_t ns) {
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0, part = us % 1000;
    to = stpcpy(to, name);
    to = put_number(stpcpy(to, ";dur="), us / 1000);
    *to++ = '.';
    *to++ = (char)('0' + part / 100);
    *to++ = (char)('0' + part / 10 % 10);
    return put_number(to, part % 10);
}

/* Text Embeddings Inference's headers are in whole milliseconds; Server-Timing has fractions. */
static void add_times(struct MHD_Response *response, const srv_request *request) {
    const srv_call *call = &request->call;
    char text[256];
    int64_t queue = call->job.taken - call->job.queued, run = call->job.finished - call->job.taken;
    int64_t total = call->answered - request->started, million = 1000000;
    if (call->job.items == NULL || call->failed) return;
    add_number(response, "x-compute-time", (call->encode_time + run) / million);
    add_number(response, "x-compute-tokens", (int64_t)call->tokens);
    add_number(response, "x-compute-characters", (int64_t)call->characters);
    if (call->truncated > 0) add_number(response, "x-truncated", (int64_t)call->truncated);
    add_number(response, "x-total-time", total / million);
    add_number(response, "x-tokenization-time", call->encode_time / million);
    add_number(response, "x-queue-time", queue / million);
    add_number(response, "x-inference-time", run / million);
    char *to = put_time(text, "tokenize", call->encode_time);
    to = put_time(to, ", queue", queue);
    to = put_time(to, ", inference", run);
    put_time(to, ", total", total);
    add(response, "server-timing", text);
}

static void add_headers(struct MHD_Response *response, srv_request *request) {
    const srv_call *call = &request->call;
    add(response, "content-type", call->content_type);
    add(response, "x-request-id", call->request_id);
    if (call->policy != NULL) {
        add(response, "content-security-policy", call->policy);
        add(response, "x-content-type-options", "nosniff");
        add(response, "referrer-policy", "no-referrer");
    }
    if (call->failed && (call->error == SRV_ERROR_OVERLOADED || request->from->excess)) {
        double wait = call->wait > 0.001 ? call->wait : 0.001;
        add_number(response, "retry-after", (int64_t)(wait + 0.999));
        add_number(response, "retry-after-ms", (int64_t)(wait * 1e3 + 0.999));
    }
    if (call->failed && call->error == SRV_ERROR_UNAUTHORIZED) add(response, "www-authenticate", "Bearer");
    if (request->allow != NULL) add(response, "allow", request->allow);
    if (call->failed && call->error == SRV_ERROR_ENCODED) add(response, "accept-encoding", "identity");
    if (srv_service_leaving(&request->server->service) || request->from->excess || request->unframed)
        add(response, "connection", "close");
    srv_cors_headers(request, response);
    add_times(response, request);
}

/* The client has taken some more bytes: `since` advances by the time that they take at the minimum rate,
 * and falls behind if the client is slower. */
static void note_taken(srv_connection *from, size_t bytes) {
    int64_t now = srv_now(), since = atomic_load(&from->since) + (int64_t)bytes * second / LEAST_RATE;
    atomic_store(&from->since, since < now ? since : now);
}

/* Gives libmicrohttpd the next bytes; writes the next part if there are none. */
static ssize_t give(void *user, uint64_t position, char *to, size_t max) {
    srv_request *request = user;
    srv_call *call = &request->call;
    srv_writing *writing = &call->writing;
    (void)position;
    if (writing->taken == call->answer.length && !writing->whole) {
        call->answer.length = writing->taken = 0;
        srv_call_more(call);
        if (call->failed) return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t left = call->answer.length - writing->taken, n = left < max ? left : max;
    if (n == 0) return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(to, call->answer.data + writing->taken, n);
    writing->taken += n;
    request->sent += n;
    note_taken(request->from, n);
    return (ssize_t)n;
}

/* libmicrohttpd reads the call's memory, which stays valid until the request is completed. */
static struct MHD_Response *make_response(srv_request *request) {
    srv_call *call = &request->call;
    enum { BLOCK = 16 << 10 };
    void *data = call->answer.data;
    const char *words = call->failed ? srv_call_last_words(call) : "";
    if (!call->writing.whole)
        return srv_mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, give, request, NULL);
    request->sent = data != NULL ? call->answer.length : strlen(words);
    if (data == NULL) data = (void *)(uintptr_t)words;
    return srv_mhd.create_response_from_buffer(request->sent, data, MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result reply(srv_request *request) {
    struct MHD_Response *response = make_response(request);
    if (response == NULL) return MHD_NO;
    add_headers(response, request);
    set_stage(request->from, SRV_ANSWERING);
    enum MHD_Result result = srv_mhd.queue_response(request->connection, request->call.status, response);
    srv_mhd.destroy_response(response);
    return result;
}

static enum MHD_Result answer(srv_request *request) {
    srv_call_answer(&request->call);
    return reply(request);
}

/* ---- The head ---- */

static void name_request(srv_request *request) {
    srv_call *call = &request->call;
    const char *given = srv_header(request, "x-request-id");
    size_t length = given != NULL ? strlen(given) : 0;
    bool plain = length > 0 && length < sizeof call->request_id;
    for (size_t i = 0; plain && i < length; i++) plain = given[i] > ' ' && given[i] < 0x7F;
    if (plain) {
        memcpy(call->request_id, given, length + 1);
        return;
    }
    uint64_t id = request->server->id_seed + atomic_fetch_add(&request->server->next_id, 1);
    id = (id ^ id >> 31) * UINT64_C(0xD6E8FEB86659FD93);
    id ^= id >> 32;
    for (int i = 0; i < 16; i++) call->request_id[i] = "0123456789abcdef"[id >> (60 - 4 * i) & 15];
}

static bool is_allowed(srv_request *request) {
    srv_call *call = &request->call;
    srv_server *server = request->server;
    const char *given = srv_header(request, "authorization");
    if (server->service.options->keys_path == NULL || call->route->open) return true;
    if (given != NULL && strncasecmp(given, "Bearer ", 7) == 0) {
        pthread_mutex_lock(&server->service.lock);
        bool known = srv_keys_match(server->keys, given + 7);
        pthread_mutex_unlock(&server->service.lock);
        if (known) return true;
    }
    return srv_call_fail(call, SRV_ERROR_UNAUTHORIZED, "an API key is required: Authorization: Bearer KEY");
}

static bool find_route(srv_request *request, const char *method, const char *path) {
    srv_call *call = &request->call;
    call->path = path;
    int index = srv_route_find(method, path, &call->model, &call->version);
    if (index >= 0) call->route = &srv_routes[index];
    if (index >= 0) return true;
    if (index == -1)
        return srv_call_fail(call, SRV_ERROR_NOT_FOUND, "no such path; /openapi.json lists them all");
    srv_slice unused[2];
    bool gets = srv_route_find("GET", path, &unused[0], &unused[1]) >= 0;
    bool posts = srv_route_find("POST", path, &unused[0], &unused[1]) >= 0;
    request->allow = gets ? posts ? "GET, HEAD, POST" : "GET, HEAD" : "POST";
    return srv_call_fail(call, SRV_ERROR_NO_METHOD, "this path accepts %s", request->allow);
}

/* The length in the head, at most LLONG_MAX; 0 if it has none. */
static unsigned long long promised_length(srv_request *request) {
    const char *length = srv_header(request, "content-length");
    return length != NULL ? strtoull(length, NULL, 10) : 0;
}

static bool too_large(srv_request *request, unsigned long long length) {
    long max = request->server->service.options->body;
    if (length <= (unsigned long long)max) return true;
    return srv_call_fail(&request->call, SRV_ERROR_TOO_LARGE,
                         "the body has %llu bytes or more: payload_limit is %ld", length, max);
}

static bool accept_head(srv_request *request, const char *method, const char *path, const char *version) {
    srv_call *call = &request->call;
    request->unframed = !srv_head_check(request, method, version);
    if (request->unframed) return false;
    if (request->from->excess) {
        call->wait = 1;
        return srv_call_fail(call, SRV_ERROR_UNHEALTHY, "too many open connections: max_connections is %ld",
                             request->server->connection_limit);
    }
    return find_route(request, method, srv_head_path(path)) && is_allowed(request) &&
           (call->route->read == NULL || srv_head_check_encoding(request)) &&
           too_large(request, promised_length(request));
}

/* A browser asks before it sends a page's request. It needs no key, and there is nothing to compute. */
static enum MHD_Result answer_browser(srv_request *request) {
    srv_call *call = &request->call;
    static char empty[] = "";
    struct MHD_Response *response = srv_mhd.create_response_from_buffer(0, empty, MHD_RESPMEM_PERSISTENT);
    if (response == NULL) return MHD_NO;
    srv_cors_allow(request, response);
    add(response, "x-request-id", call->request_id);
    call->failed = false;
    call->status = 204;
    set_stage(request->from, SRV_ANSWERING);
    enum MHD_Result result = srv_mhd.queue_response(request->connection, call->status, response);
    srv_mhd.destroy_response(response);
    return result;
}

static enum MHD_Result begin(srv_request *request, const char *method, const char *path,
                             const char *version) {
    const char *expect = srv_header(request, "expect"), *accept = srv_header(request, "accept");
    name_request(request);
    request->call.path = path;
    request->call.wants_page = accept != NULL && strstr(accept, "text/html") != NULL;
    request->stage = SRV_READING;
    request->begun = true;
    set_stage(request->from, SRV_READING); /* the body has its own timeout */
    if (accept_head(request, method, path, version)) return MHD_YES;
    if (!request->unframed && !request->from->excess && srv_cors_asks(request, method))
        return answer_browser(request);
    request->stage = SRV_REFUSING;
    bool at_once = request->unframed || expect != NULL || promised_length(request) > SWALLOWED;
    return at_once ? answer(request) : MHD_YES;
}

/* ---- The body ---- */

static void take_body(srv_request *request, const char *data, size_t size) {
    srv_call *call = &request->call;
    request->received += size;
    if (request->stage == SRV_REFUSING || call->route->read == NULL) return;
    bool fits = too_large(request, call->body.length + size);
    if (fits) srv_out_bytes(&call->body, data, size);
    if (call->body.failed) srv_call_no_memory(call, call->body.over);
    if (!call->failed) return;
    request->stage = SRV_REFUSING;
    srv_out_free(&call->body);
}

/* The binary tensor extension: the head says where the JSON ends. Inserts a NUL after it. */
static bool split_body(srv_request *request) {
    srv_call *call = &request->call;
    const char *given = srv_header(request, "inference-header-content-length");
    char *end = NULL;
    if (given == NULL) return true;
    unsigned long long length = strtoull(given, &end, 10);
    if (*given < '0' || *given > '9' || *end != '\0' || length == 0 || length > call->body.length)
        return srv_call_fail(call, SRV_ERROR_INVALID,
                             "inference-header-content-length: expected a number from 1 to the body's %zu",
                             call->body.length);
    char *cut = call->body.data + length;
    call->json_length = (size_t)length;
    call->binary = cut + 1;
    call->binary_length = call->body.length - (size_t)length;
    memmove(cut + 1, cut, call->binary_length);
    *cut = '\0';
    return true;
}

/* Hands the request to a helper, which may be done before this returns. */
static void hand_over(srv_request *request) {
    request->helped = true;
    request->stage = SRV_WAITING;
    atomic_store(&request->from->stage, SRV_WAITING);
    srv_mhd.suspend_connection(request->connection);
    srv_helpers_put(request->server->helpers, request);
}

static enum MHD_Result finish_body(srv_request *request) {
    srv_call *call = &request->call;
    if (request->stage == SRV_REFUSING || call->route->read == NULL) return answer(request);
    if (!srv_out_reserve(&call->body, 2)) {
        srv_call_no_memory(call, call->body.over);
        return answer(request);
    }
    call->body.data[call->body.length] = '\0';
    request->stage = SRV_ANSWERING;
    set_stage(request->from, SRV_ANSWERING); /* a client may close its side now */
    const char *limit = srv_header(request, "x-queue-timeout-ms");
    if (!srv_call_deadline(call, limit, srv_now()) || !split_body(request)) return answer(request);
    if (call->body.length > LONG_BODY) {
        hand_over(request);
        return MHD_YES;
    }
    return srv_call_run(call) ? MHD_YES : answer(request);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **context) {
    srv_request *request = *context;
    (void)user;
    (void)connection;
    if (request == NULL) return MHD_NO; /* out of memory: the connection is closed */
    if (!request->begun) return begin(request, method, path, version);
    if (*size > 0) {
        take_body(request, data, *size);
        *size = 0;
        return request->received <= SWALLOWED ? MHD_YES : MHD_NO;
    }
    return request->stage == SRV_WAITING ? answer(request) : finish_body(request);
}

/* ---- Starting ---- */

static void on_log(void *user, const char *format, va_list args) {
    (void)user;
    (void)format;
    (void)args; /* about clients that misbehave */
}

retort_status srv_http_start(srv_server *server, retort_error *err) {
    const srv_options *options = server->service.options;
    server->helpers = srv_helpers_open((size_t)options->http_threads);
    unsigned pool = options->http_threads > 1 ? (unsigned)options->http_threads : 0;
    unsigned connections = (unsigned)(server->connection_limit + server->excess_limit);
    if (server->helpers != NULL)
        server->daemon = srv_mhd.start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
            on_request, server, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET,
            server->listen_fd, MHD_OPTION_THREAD_POOL_SIZE, pool, MHD_OPTION_CONNECTION_LIMIT, connections,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->idle_timeout,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
            on_connection, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
            MHD_OPTION_URI_LOG_CALLBACK, on_first_line, server, MHD_OPTION_END);
    if (server->daemon != NULL) return RETORT_OK;
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "serve: cannot start the HTTP server: %s", strerror(errno));
    return RETORT_IO;
}
