/* SPDX-License-Identifier: Apache-2.0
 * The routes about the server itself: health, metrics, the page. */
#ifndef SERVE_META_H
#define SERVE_META_H

#include "serve/wire/call.h"

void srv_write_page(srv_call *call);
void srv_write_live(srv_call *call);
void srv_write_ready(srv_call *call);
void srv_write_metrics(srv_call *call);

#endif
