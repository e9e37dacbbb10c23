/* SPDX-License-Identifier: Apache-2.0
 * A request on its way to an answer, whatever has brought it. */
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

/* A token of /tokenize, and the code points that it stands for. */
typedef struct srv_token {
    int32_t id;
    uint32_t start, stop;
} srv_token;
/* An answer that is written a part at a time. */
typedef struct srv_writing {
    bool whole;        /* nothing is missing */
    size_t part;       /* that comes next */
    size_t taken;      /* bytes of call->answer, which holds what was written last */
    size_t offset;     /* within a part */
    float *scores;     /* of all parts, or NULL */
    uint32_t *order;   /* of the parts, or NULL */
    srv_token *tokens; /* [token_count] of all texts, or NULL */
    size_t token_count, token_capacity;
    size_t *ends; /* [ask.count] index in `tokens` behind each text's last */
    size_t token; /* that comes next */
    size_t at;    /* byte of its text where code point `point` stands */
    uint32_t point;
    size_t admitted; /* tokens that count to --max-queue-tokens still */
} srv_writing;

typedef struct srv_call {
    srv_service *service;
    const srv_route *route; /* NULL: none found */
    const char *path;       /* as long as the request lasts */
    srv_slice model, version;
    char request_id[64];
    srv_out body, answer;
    bool wants_page; /* a browser's request */
    const char *content_type;
    const char *policy; /* of a page's content; or NULL */
    srv_json_doc json;
    size_t json_length; /* of a body with bytes behind the JSON; 0: all of it is JSON */
    const char *binary; /* these bytes */
    size_t binary_length;
    srv_ask ask;
    srv_engine *engine;
    const char *prompt_name; /* of the model's prompts, or NULL */
    srv_job job;             /* job.items NULL: nothing was asked of a model */
    size_t tokens, characters, truncated;
    size_t charged; /* bytes of the budget for what the call holds itself */
    srv_writing writing;
    unsigned status; /* HTTP's */
    bool failed;
    srv_error_id error;
    char what[512]; /* the error's text */
    double wait;    /* Retry-After */
    int64_t encode_time, answered;
} srv_call;

/* The first fault counts. Always false. */
bool srv_call_fail(srv_call *call, srv_error_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes bytes from the budget for what the call holds from now on; false: srv_call_over has been called. */
bool srv_call_charge(srv_call *call, size_t bytes);
/* Refuses the request because the budget has no room. Always false. */
bool srv_call_over(srv_call *call);
/* The same, or srv_call_fail: `over` says which. Always false. */
bool srv_call_no_memory(srv_call *call, bool over);
/* The engine of any task that the path names, kept in the call; false: srv_call_fail has been called. */
bool srv_call_find_model(srv_call *call);
/* Fails because no model has the name. Always false. */
bool srv_call_no_model(srv_call *call);
/* Gives back what the request has taken, for a next one: small buffers of the body and its JSON stay. */
void srv_call_reset(srv_call *call);
/* All that the call holds, not the call itself. */
void srv_call_free(srv_call *call);

#endif
