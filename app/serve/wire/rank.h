/* SPDX-License-Identifier: Apache-2.0
 * Texts ranked by how well they answer a query. */
#ifndef SERVE_RANK_H
#define SERVE_RANK_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

/* The list `name` of texts, each read by `add`, as partners of the body's query. */
bool srv_read_ranked(srv_call *call, const srv_json *body, const char *name,
                     bool (*add)(srv_call *call, const char *name, const srv_json *value));
/* How well each text answers its query, and their order, in call->writing; as srv_ranking_open. */
bool srv_rank(srv_call *call);

#endif
