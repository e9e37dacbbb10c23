/* SPDX-License-Identifier: Apache-2.0
 * Reranking in the form of Cohere and Jina. */
#ifndef SERVE_COHERE_H
#define SERVE_COHERE_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

bool srv_cohere_read_documents(srv_call *call, const srv_json *body);
void srv_cohere_write_rank(srv_call *call);

#endif
