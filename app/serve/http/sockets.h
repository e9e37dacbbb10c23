/* SPDX-License-Identifier: Apache-2.0
 * The listening socket, and notifications to systemd. */
#ifndef SERVE_SOCKETS_H
#define SERVE_SOCKETS_H

#include "retort.h"
#include "serve/http/server.h"

/* Opens the listening socket of the options, or takes systemd's. */
retort_status srv_listen(srv_server *server, retort_error *err);
/* "http://127.0.0.1:8080" or "unix:/run/retort.sock" */
void srv_listen_address(const srv_server *server, char *out, size_t size);
void srv_notify(const char *state);
void srv_notify_reloading(void);

#endif
