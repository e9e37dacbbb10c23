/* SPDX-License-Identifier: Apache-2.0
 * The listening socket, and systemd's two protocols: passed sockets and state notifications. */
#include "serve/http/sockets.h"
#include "serve/base/options.h"
#include "serve/queue/queue.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, FIRST_GIVEN = 3 };

static retort_status fail(retort_error *err, const char *where, const char *what) {
    err->status = RETORT_IO;
    snprintf(err->text, sizeof err->text, "serve: %s: %s", where, what);
    return RETORT_IO;
}

/* systemd passes sockets as descriptors from 3 on, with the process that they are for. */
static bool take_given(srv_server *server) {
    const char *count = getenv("LISTEN_FDS"), *process = getenv("LISTEN_PID");
    if (count == NULL || process == NULL || atoi(count) < 1 || atol(process) != (long)getpid()) return false;
    server->listen_fd = FIRST_GIVEN;
    server->socket_given = true;
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    return true;
}

/* Removes a socket that nobody listens on any more; any other file stays. */
static bool clear_path(const struct sockaddr_un *address) {
    struct stat info;
    if (stat(address->sun_path, &info) != 0) return true;
    if (!S_ISSOCK(info.st_mode)) return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    if (fd >= 0) close(fd);
    return !alive && unlink(address->sun_path) == 0;
}

static retort_status listen_unix(srv_server *server, const char *path, retort_error *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return fail(err, path, "the path is too long for a socket");
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (!clear_path(&address))
        return fail(err, path, "another server is listening there, or the file is not a socket");
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->listen_fd < 0 || bind(server->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listen_fd, BACKLOG) != 0)
        return fail(err, path, strerror(errno));
    return RETORT_OK;
}

static int listen_at(const struct addrinfo *at, bool reuse_port) {
    int on = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    bool fine = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                (!reuse_port || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
                bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    if (fine) return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static retort_status listen_tcp(srv_server *server, retort_error *err) {
    const srv_options *options = server->service.options;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found = NULL;
    char port[16], where[300];
    snprintf(port, sizeof port, "%ld", options->port);
    snprintf(where, sizeof where, "%.250s:%s", options->host, port);
    int code = getaddrinfo(options->host, port, &hints, &found);
    if (code != 0) return fail(err, where, gai_strerror(code));
    for (const struct addrinfo *at = found; server->listen_fd < 0 && at != NULL; at = at->ai_next) {
        server->listen_fd = listen_at(at, options->reuse_port);
    }
    freeaddrinfo(found);
    return server->listen_fd >= 0 ? RETORT_OK : fail(err, where, strerror(errno));
}

retort_status srv_listen(srv_server *server, retort_error *err) {
    server->listen_fd = -1;
    if (take_given(server)) return RETORT_OK;
    if (server->service.options->unix_path != NULL)
        return listen_unix(server, server->service.options->unix_path, err);
    return listen_tcp(server, err);
}

void srv_listen_address(const srv_server *server, char *out, size_t size) {
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    char host[256], port[32];
    if (getsockname(server->listen_fd, (struct sockaddr *)&address, &length) != 0 ||
        address.ss_family == AF_UNIX) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&address;
        snprintf(out, size, "unix:%.100s", local->sun_path);
        return;
    }
    int flags = NI_NUMERICHOST | NI_NUMERICSERV;
    bool known =
        getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port, flags) == 0;
    bool v6 = address.ss_family == AF_INET6;
    snprintf(out, size, "http://%s%s%s:%s", v6 ? "[" : "", known ? host : "?", v6 ? "]" : "",
             known ? port : "?");
}

void srv_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') address.sun_path[0] = '\0'; /* an abstract name */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length);
    close(fd);
}

void srv_notify_reloading(void) {
    char state[64];
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(srv_now() / 1000));
    srv_notify(state);
}
