/* SPDX-License-Identifier: Apache-2.0
 * Where the server listens, and what systemd is told. */
#ifndef SERVE_SOCKETS_H
#define SERVE_SOCKETS_H

#include "retort.h"
#include "serve/http/server.h"

/* A listening socket from the options or from systemd. */
retort_status srv_listen(srv_server *server, retort_error *err);
/* "http://127.0.0.1:8080" or "unix:/run/retort.sock" */
void srv_listen_address(const srv_server *server, char *out, size_t size);
void srv_notify(const char *state);
void srv_notify_reloading(void);

#endif
