/* SPDX-License-Identifier: Apache-2.0
 * The wire form of Text Embeddings Inference. */
#ifndef SERVE_TEI_H
#define SERVE_TEI_H

#include "serve/base/json.h"
#include "serve/wire/call.h"

bool srv_tei_read_predict(srv_call *call, const srv_json *body);
void srv_tei_write_predict(srv_call *call);
bool srv_tei_read_embed(srv_call *call, const srv_json *body);
void srv_tei_write_embed(srv_call *call);
bool srv_tei_read_rerank(srv_call *call, const srv_json *body);
bool srv_tei_check_rerank(srv_call *call);
void srv_tei_write_rerank(srv_call *call);
bool srv_tei_read_similarity(srv_call *call, const srv_json *body);
void srv_tei_write_similarity(srv_call *call);
bool srv_tei_read_tokenize(srv_call *call, const srv_json *body);
void srv_tei_write_tokenize(srv_call *call);
bool srv_tei_read_embed_all(srv_call *call, const srv_json *body);
bool srv_tei_check_embed_all(srv_call *call);
void srv_tei_write_embed_all(srv_call *call);
/* A model whose vectors are not sparse. */
bool srv_check_dense(srv_call *call);
bool srv_tei_read_embed_sparse(srv_call *call, const srv_json *body);
bool srv_tei_check_embed_sparse(srv_call *call);
void srv_tei_write_embed_sparse(srv_call *call);
bool srv_tei_read_decode(srv_call *call, const srv_json *body);
bool srv_tei_check_decode(srv_call *call);
void srv_tei_write_decode(srv_call *call);
void srv_tei_write_info(srv_call *call);

#endif
