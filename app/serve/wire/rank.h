/* SPDX-License-Identifier: Apache-2.0
 * Ranks texts ranked by how well they answer a query. */
#ifndef SERVE_RANK_H
#define SERVE_RANK_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

/* Reads the list `name` of texts with `add` and pairs each with the body's query. */
bool srv_read_ranked(srv_call *call, const srv_json *body, const char *name,
                     bool (*add)(srv_call *call, const char *name, const srv_json *value));
/* Scores the texts into call->writing and sorts them; fails like srv_ranking_open. */
bool srv_rank(srv_call *call);

#endif
