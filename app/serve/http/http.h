/* SPDX-License-Identifier: Apache-2.0
 * libmicrohttpd's callbacks. */
#ifndef SERVE_HTTP_H
#define SERVE_HTTP_H

#include "retort.h"
#include "serve/http/server.h"

retort_status srv_http_start(srv_server *server, retort_error *err);
/* Closes connections whose clients are too slow. Returns the number of connections. */
size_t srv_http_watch(srv_server *server);
/* Closes connections that are between two requests. */
void srv_http_close_idle(srv_server *server);
/* The number of connections that wait for a queue: the HTTP server must not end before them. */
size_t srv_http_waiting(srv_server *server);

#endif
