/* SPDX-License-Identifier: Apache-2.0
 * The routes, one row each. */
#ifndef SERVE_ROUTES_H
#define SERVE_ROUTES_H

#include "serve/queue/service.h"
#include "serve/wire/route.h"

extern const srv_route srv_routes[];
extern const size_t srv_route_count;
/* Index in srv_routes; -1: no such path; -2: another method. `model` and `version` are the segments that
 * matched "{…}"; they point into `path`. */
int srv_route_find(const char *method, const char *path, srv_slice *model, srv_slice *version);

#endif
