/* SPDX-License-Identifier: Apache-2.0
 * The access log: a line of JSON a request. A thread of its own writes, so that a slow disk or a stopped
 * reader holds up no request; lines that find no room are left out, and it is said how many. */
#include "serve/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAITING_BYTES = 1 << 20 };

struct srv_log {
    const char *path;
    int fd, next; /* next: to be written to from now on, -1: none */
    bool own;     /* to be closed */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    srv_out waiting;
    unsigned long long lost;
    bool closed, sleeping;
};

static void write_all(int fd, const srv_out *lines) {
    for (size_t at = 0; at < lines->length;) {
        ssize_t n = write(fd, lines->data + at, lines->length - at);
        if (n < 0 && errno != EINTR) return;
        if (n > 0) at += (size_t)n;
    }
}

static void *write_lines(void *user) {
    srv_log *log = user;
    srv_out writing = {0};
    pthread_mutex_lock(&log->lock);
    while (!log->closed || log->waiting.length > 0) {
        if (log->waiting.length == 0) {
            log->sleeping = true;
            pthread_cond_wait(&log->more, &log->lock);
            log->sleeping = false;
            continue;
        }
        srv_out filled = log->waiting;
        log->waiting = writing;
        writing = filled;
        if (log->next >= 0) {
            close(log->fd);
            log->fd = log->next;
            log->next = -1;
        }
        if (log->lost > 0) srv_out_format(&writing, "{\"event\":\"lines_lost\",\"count\":%llu}\n", log->lost);
        log->lost = 0;
        pthread_mutex_unlock(&log->lock);
        write_all(log->fd, &writing);
        writing.length = 0;
        pthread_mutex_lock(&log->lock);
    }
    pthread_mutex_unlock(&log->lock);
    srv_out_free(&writing);
    return NULL;
}

static retort_status fail(retort_error *err, const char *path, const char *what) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "%s: %s", path, what);
    return RETORT_IO;
}

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

void srv_log_reopen(srv_log *log) {
    int fd = log != NULL && log->own ? open_file(log->path) : -1;
    if (fd < 0) return;
    pthread_mutex_lock(&log->lock);
    if (log->next >= 0) close(log->next);
    log->next = fd;
    pthread_mutex_unlock(&log->lock);
}

retort_status srv_log_open(srv_log **out, const char *path, retort_error *err) {
    srv_log *log = calloc(1, sizeof *log);
    if (log == NULL) return fail(err, path, "out of memory");
    log->own = strcmp(path, "-") != 0;
    log->path = path;
    log->next = -1;
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
    log->closed = true;
    pthread_cond_signal(&log->more);
    pthread_mutex_unlock(&log->lock);
    pthread_join(log->thread, NULL);
    if (log->own) close(log->fd);
    if (log->next >= 0) close(log->next);
    srv_out_free(&log->waiting);
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

static void write_line(srv_out *out, const srv_call *call, const char *traceparent) {
    const srv_job *job = &call->job;
    write_time(out);
    write_text(out, "request_id", call->request_id);
    write_text(out, "traceparent", traceparent);
    write_text(out, "method", call->route != NULL ? call->route->method : NULL);
    write_text(out, "path", call->path);
    srv_out_format(out, ",\"status\":%u,\"bytes_in\":%zu,\"bytes_out\":%zu,\"duration_us\":%lld",
                   call->status, call->received, call->sent, (long long)(srv_now() - call->started) / 1000);
    if (call->engine != NULL) write_text(out, "model", call->engine->name);
    if (job->items != NULL) {
        srv_out_format(out, ",\"texts\":%zu,\"tokens\":%zu,\"queue_us\":%lld,\"inference_us\":%lld",
                       call->ask.count, call->tokens, (long long)(job->taken - job->queued) / 1000,
                       (long long)(job->finished - job->taken) / 1000);
    }
    if (call->failed) write_text(out, "error", call->what);
    srv_out_text(out, "}\n");
}

void srv_log_call(srv_log *log, const srv_call *call, const char *traceparent) {
    pthread_mutex_lock(&log->lock);
    if (log->waiting.length > WAITING_BYTES) {
        log->lost++;
    } else {
        write_line(&log->waiting, call, traceparent);
        if (log->waiting.failed)
            log->waiting = (srv_out){.data = log->waiting.data, .capacity = log->waiting.capacity};
    }
    if (log->sleeping) pthread_cond_signal(&log->more);
    pthread_mutex_unlock(&log->lock);
}
