/* SPDX-License-Identifier: Apache-2.0
 * A call: what is asked, and its answer, independent of the transport. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H

#include "serve/base/json.h"
#include "serve/base/out.h"
#include "serve/queue/engine.h"
#include "serve/queue/queue.h"
#include "serve/queue/service.h"
#include "serve/wire/ask.h"
#include "serve/wire/errors.h"
#include "serve/wire/route.h"

#include <stdio.h>

/* A token of /tokenize and its code points. */
typedef struct srv_token {
    int32_t id;
    uint32_t start, stop;
} srv_token;
/* An answer that is written part by part. */
typedef struct srv_writing {
    bool whole;        /* it is complete */
    size_t part;       /* the next one */
    size_t taken;      /* bytes of call->answer, which holds the last part */
    size_t offset;     /* within a part */
    float *scores;     /* of all parts, or NULL */
    uint32_t *order;   /* of the parts, or NULL */
    srv_token *tokens; /* [token_count] of all texts, or NULL */
    size_t token_count, token_capacity;
    size_t *ends; /* [ask.count] end of each text in `tokens` */
    size_t token; /* the next one */
    size_t at;    /* byte offset of code point `point` in its text */
    uint32_t point;
    size_t admitted; /* tokens that still count towards --max-queue-tokens */
} srv_writing;

typedef struct srv_call {
    srv_service *service;
    const srv_route *route; /* NULL: none found */
    const char *path;       /* valid as long as the request lasts */
    srv_slice model, version;
    char request_id[64];
    srv_out body, answer;
    bool wants_page; /* the client prefers HTML */
    const char *content_type;
    const char *policy; /* content security policy, or NULL */
    srv_json_doc json;
    size_t json_length; /* if bytes follow the JSON in the body; 0: it is all JSON */
    const char *binary; /* these bytes */
    size_t binary_length;
    srv_ask ask;
    srv_engine *engine;
    const char *prompt_name; /* one of the model's prompts, or NULL */
    size_t unpooled;         /* tokens of the prompt that are not pooled */
    srv_job job;             /* job.items NULL: no model is needed */
    size_t tokens, characters, truncated;
    size_t charged; /* bytes taken from the budget for the call itself */
    srv_writing writing;
    unsigned status; /* HTTP's */
    bool failed;
    srv_error_id error;
    char what[512]; /* the error's text */
    double wait;    /* Retry-After */
    int64_t encode_time, answered;
} srv_call;

/* Records the first error. Always false. */
bool srv_call_fail(srv_call *call, srv_error_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes bytes from the budget until the call ends; false: srv_call_over has been called. */
bool srv_call_charge(srv_call *call, size_t bytes);
/* Fails because the budget has no room. Always false. */
bool srv_call_over(srv_call *call);
/* Fails because the budget has no room (`over`), or because memory has run out. Always false. */
bool srv_call_no_memory(srv_call *call, bool over);
/* Sets call->engine to the model named in the path, of any task; false: srv_call_fail has been called. */
bool srv_call_find_model(srv_call *call);
/* Fails because no model has the name. Always false. */
bool srv_call_no_model(srv_call *call);
/* Releases what the call has taken and prepares it for the next one; keeps small buffers. */
void srv_call_reset(srv_call *call);
/* Frees what the call holds, not the call itself. */
void srv_call_free(srv_call *call);

#endif
