/* SPDX-License-Identifier: Apache-2.0
 * The access log: one line of JSON per request. A separate thread writes, so that a slow disk or a stopped
 * reader blocks no request. Lines are written whole; lines that find no room are dropped and counted. */
#include "serve/http/log.h"
#include "serve/base/out.h"
#include "serve/queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Up to PIPE_BUF bytes go into a pipe atomically. */
enum { WAITING_BYTES = 1 << 20, GROUP_BYTES = PIPE_BUF };

struct srv_log {
    const char *path;
    int fd;
    atomic_int next; /* the next file to write to; -1: none */
    bool own;        /* to be closed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    srv_out waiting;
    bool sleeping;
    atomic_bool closed;
    atomic_ullong *lost; /* lines, in total */
    unsigned long long reported;
};

static size_t count_lines(const char *data, size_t length) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++) count += data[i] == '\n';
    return count;
}

/* Bytes of whole lines at the front: up to GROUP_BYTES, but at least one line. */
static size_t group_length(const char *data, size_t length) {
    if (length <= GROUP_BYTES) return length;
    const char *end = memrchr(data, '\n', GROUP_BYTES);
    if (end == NULL) end = memchr(data, '\n', length);
    return end != NULL ? (size_t)(end - data) + 1 : length;
}

/* Waits until something can be written. Stops waiting for a stopped reader shortly after the log is closed
 * or reopened. */
static bool wait_for_room(srv_log *log) {
    enum { STEP_MS = 100, LAST_STEPS = 3 };
    struct pollfd out = {.fd = log->fd, .events = POLLOUT};
    for (int late = 0; late < LAST_STEPS; late += atomic_load(&log->closed) || atomic_load(&log->next) >= 0) {
        int ready = poll(&out, 1, STEP_MS);
        if (ready > 0 || (ready < 0 && errno != EINTR)) return ready > 0;
    }
    return false;
}

/* The disk became full in the middle of a line: removes its `part` bytes from the end of the file. */
static void take_back(int fd, size_t part) {
    struct stat info;
    off_t end = lseek(fd, 0, SEEK_CUR);
    bool last = end >= (off_t)part && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == end;
    if (last && part > 0 && ftruncate(fd, end - (off_t)part) != 0) return; /* it stays */
}

/* Writes whole lines; returns the bytes of the lines that were written completely. */
static size_t put(srv_log *log, const char *data, size_t length) {
    size_t at = 0;
    while (at < length && wait_for_room(log)) {
        ssize_t n = write(log->fd, data + at, length - at);
        if (n < 0 && errno != EINTR && errno != EAGAIN) break;
        if (n > 0) at += (size_t)n;
    }
    if (at == length) return length;
    const char *whole = at > 0 ? memrchr(data, '\n', at) : NULL;
    size_t kept = whole != NULL ? (size_t)(whole - data) + 1 : 0;
    take_back(log->fd, at - kept);
    return kept;
}

static void write_all(srv_log *log, const srv_out *lines) {
    char text[80];
    for (size_t at = 0, n; at < lines->length; at += n) {
        n = group_length(lines->data + at, lines->length - at);
        size_t kept = put(log, lines->data + at, n);
        atomic_fetch_add(log->lost, count_lines(lines->data + at + kept, n - kept));
    }
    unsigned long long lost = atomic_load(log->lost);
    if (lost == log->reported) return;
    int length =
        snprintf(text, sizeof text, "{\"event\":\"lines_lost\",\"count\":%llu}\n", lost - log->reported);
    if (put(log, text, (size_t)length) == (size_t)length) log->reported = lost;
}

/* Takes the waiting lines. False: closed, and nothing waits. */
static bool take_lines(srv_log *log, srv_out *lines) {
    pthread_mutex_lock(&log->lock);
    while (!atomic_load(&log->closed) && log->waiting.length == 0) {
        log->sleeping = true;
        pthread_cond_wait(&log->more, &log->lock);
        log->sleeping = false;
    }
    lines->length = 0;
    srv_out filled = log->waiting;
    log->waiting = *lines;
    *lines = filled;
    if (atomic_load(&log->next) >= 0) {
        close(log->fd);
        log->fd = atomic_exchange(&log->next, -1);
    }
    pthread_mutex_unlock(&log->lock);
    return lines->length > 0;
}

static void *write_lines(void *user) {
    srv_log *log = user;
    srv_out lines = {0};
    while (take_lines(log, &lines)) write_all(log, &lines);
    srv_out_free(&lines);
    return NULL;
}

static retort_status fail(retort_error *err, const char *path, const char *what) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "%s: %s", path, what);
    return RETORT_IO;
}

/* A FIFO is opened for reading as well: it may have no reader yet, or lose the one it has. */
static int open_file(const char *path) {
    struct stat info;
    int flags = O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    bool fifo = stat(path, &info) == 0 && S_ISFIFO(info.st_mode);
    return open(path, flags | (fifo ? O_RDWR : O_WRONLY), 0640);
}

void srv_log_reopen(srv_log *log) {
    int fd = log != NULL && log->own ? open_file(log->path) : -1;
    if (fd < 0) return;
    pthread_mutex_lock(&log->lock);
    int unused = atomic_exchange(&log->next, fd);
    if (unused >= 0) close(unused);
    pthread_mutex_unlock(&log->lock);
}

retort_status srv_log_open(srv_log **out, const char *path, atomic_ullong *lost, retort_error *err) {
    srv_log *log = calloc(1, sizeof *log);
    if (log == NULL) return fail(err, path, "out of memory");
    log->own = strcmp(path, "-") != 0;
    log->path = path;
    log->lost = lost;
    atomic_init(&log->next, -1);
    log->fd = log->own ? open_file(path) : STDOUT_FILENO;
    if (log->fd < 0) {
        free(log);
        return fail(err, path, strerror(errno));
    }
    pthread_mutex_init(&log->lock, NULL);
    pthread_cond_init(&log->more, NULL);
    if (pthread_create(&log->thread, NULL, write_lines, log) != 0) {
        if (log->own) close(log->fd);
        free(log);
        return fail(err, path, "cannot start a thread");
    }
    *out = log;
    return RETORT_OK;
}

void srv_log_close(srv_log *log) {
    if (log == NULL) return;
    pthread_mutex_lock(&log->lock);
    atomic_store(&log->closed, true);
    pthread_cond_signal(&log->more);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    if (log->own) close(log->fd);
    if (atomic_load(&log->next) >= 0) close(atomic_load(&log->next));
    srv_out_free(&log->waiting);
    pthread_mutex_destroy(&log->lock);
    pthread_cond_destroy(&log->more);
    free(log);
}

static void write_text(srv_out *out, const char *name, const char *text) {
    enum { LONGEST = 200 };
    size_t length = text != NULL ? strlen(text) : 0;
    srv_out_format(out, ",\"%s\":", name);
    if (text == NULL) {
        srv_out_text(out, "null");
    } else {
        srv_out_string(out, text, length < LONGEST ? length : LONGEST);
    }
}

static void write_time(srv_out *out) {
    struct timespec now;
    struct tm parts;
    char text[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    srv_out_format(out, "{\"time\":\"%s.%06ldZ\"", text, now.tv_nsec / 1000);
}

static void write_line(srv_out *out, const srv_request *request, const char *traceparent) {
    const srv_job *job = &request->call.job;
    write_time(out);
    write_text(out, "request_id", request->call.request_id);
    write_text(out, "traceparent", traceparent);
    write_text(out, "method", request->call.route != NULL ? request->call.route->method : NULL);
    write_text(out, "path", request->call.path);
    srv_out_format(out, ",\"status\":%u,\"bytes_in\":%zu,\"bytes_out\":%zu,\"duration_us\":%lld",
                   request->call.status, request->received, request->sent,
                   (long long)(srv_now() - request->started) / 1000);
    if (request->call.engine != NULL) write_text(out, "model", request->call.engine->name);
    if (job->items != NULL) {
        srv_out_format(out, ",\"texts\":%zu,\"tokens\":%zu,\"queue_us\":%lld,\"inference_us\":%lld",
                       request->call.ask.count, request->call.tokens,
                       (long long)(job->taken - job->queued) / 1000,
                       (long long)(job->finished - job->taken) / 1000);
    }
    if (request->call.failed) write_text(out, "error", request->call.what);
    srv_out_text(out, "}\n");
}

void srv_log_call(srv_log *log, const srv_request *request, const char *traceparent) {
    pthread_mutex_lock(&log->lock);
    size_t before = log->waiting.length;
    if (before <= WAITING_BYTES) write_line(&log->waiting, request, traceparent);
    if (log->waiting.failed || before > WAITING_BYTES) {
        log->waiting.length = before;
        log->waiting.failed = false;
        atomic_fetch_add(log->lost, 1);
    }
    if (log->sleeping) pthread_cond_signal(&log->more);
    pthread_mutex_unlock(&log->lock);
}
