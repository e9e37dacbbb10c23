/* SPDX-License-Identifier: Apache-2.0
 * OpenAI's /v1/embeddings and /v1/models. */
#ifndef SERVE_OPENAI_H
#define SERVE_OPENAI_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

bool srv_openai_read_embeddings(srv_call *call, const srv_json *body);
void srv_openai_write_embeddings(srv_call *call);
void srv_openai_write_models(srv_call *call);
void srv_openai_write_model(srv_call *call);

#endif
