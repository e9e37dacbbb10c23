/* SPDX-License-Identifier: Apache-2.0
 * The HTTP server:
 *
 *   http.c     libmicrohttpd's callbacks: a request's life from its head to its answer
 *   head.c     what a request's head must be like
 *   helpers.c  threads that read long bodies
 *   serve.c    signals, the way up and the way down
 *
 * What a request asks is read and answered by wire/, and computed by queue/. */
#ifndef SERVE_HTTP_SERVE_H
#define SERVE_HTTP_SERVE_H

#include "retort.h"
#include "serve/base/options.h"

/* Serves until a signal ends it. RETORT_OK: drained; else err says what failed. */
retort_status srv_serve(const srv_options *options, retort_error *err);

#endif
