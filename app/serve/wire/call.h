/* SPDX-License-Identifier: Apache-2.0
 * A request on its way through the server, and the rows of routes and errors. */
#ifndef SERVE_CALL_H
#define SERVE_CALL_H

#include "serve/queue/engine.h"
#include "serve/wire/fields.h"
#include "serve/base/json.h"
#include "serve/http/mhd.h"
#include "serve/base/out.h"

typedef struct srv_server srv_server;
typedef struct srv_call srv_call;

/* ---- Errors: id, HTTP status (by overload_status where 0), error_type as Text Embeddings Inference has it,
 * OpenAI's type ---- */
#define SRV_ERRORS(X)                                                                                        \
    X(MALFORMED, 400, "validation", "invalid_request_error")                                                 \
    X(INVALID, 422, "validation", "invalid_request_error")                                                   \
    X(EMPTY, 400, "empty", "invalid_request_error")                                                          \
    X(UNAUTHORIZED, 401, "unauthorized", "authentication_error")                                             \
    X(NOT_FOUND, 404, "not_found", "not_found_error")                                                        \
    X(NO_METHOD, 405, "validation", "invalid_request_error")                                                 \
    X(TOO_LARGE, 413, "validation", "invalid_request_error")                                                 \
    X(ENCODED, 415, "validation", "invalid_request_error")                                                   \
    X(TOKENIZER, 422, "tokenizer", "invalid_request_error")                                                  \
    X(BACKEND, 424, "backend", "server_error")                                                               \
    X(OVERLOADED, 0, "overloaded", "rate_limit_error")                                                       \
    X(GONE, 499, "validation", "invalid_request_error")                                                      \
    X(INTERNAL, 500, "backend", "server_error")                                                              \
    X(NO_CODING, 501, "validation", "invalid_request_error")                                                 \
    X(UNHEALTHY, 503, "unhealthy", "server_error")                                                           \
    X(TIMEOUT, 504, "overloaded", "server_error")
typedef enum srv_error_id {
#define SRV_ERROR_ID(id, ...) SRV_ERROR_##id,
    SRV_ERRORS(SRV_ERROR_ID)
#undef SRV_ERROR_ID
        SRV_ERROR_COUNT
} srv_error_id;

/* ---- Routes ---- */

/* How errors look, and which codes they have. */
typedef enum srv_wire { SRV_WIRE_TEI, SRV_WIRE_OPENAI, SRV_WIRE_V2, SRV_WIRE_COUNT } srv_wire;

enum { SRV_ANY_TASK = -1, SRV_V2_TASKS = -2 }; /* those that srv_v2_does */

typedef struct srv_route {
    const char *method, *path; /* "{…}" stands for any one segment: a model's name, then a version */
    srv_wire wire;
    bool open; /* needs no key */
    int task;  /* retort_task of the models it is for, or one of: */
    /* What its body may have: unknown members were refused, and those with a place in srv_ask are read,
     * before `read`, which reads the others. False: srv_call_fail has been called. NULL: the route has no
     * body. */
    const srv_form *form;
    bool (*read)(srv_call *call, const srv_json *body);
    /* NULL, or checks what is asked against the model that will answer. False: as above. */
    bool (*check)(srv_call *call);
    /* Writes the answer, with every row computed: all of it, or a part at a time (srv_more). */
    void (*write)(srv_call *call);
    const char *reply; /* name of a schema in openapi.c; NULL: none */
    const char *summary;
} srv_route;
extern const srv_route srv_routes[];
extern const size_t srv_route_count;
/* Index in srv_routes; -1: no such path; -2: another method. `model` and `version` are what stood for "{…}",
 * pointing into `path`. */
typedef struct srv_slice {
    const char *text;
    size_t length;
} srv_slice;
int srv_route_find(const char *method, const char *path, srv_slice *model, srv_slice *version);

/* ---- What is asked ---- */

/* Whole numbers in a row: values of the JSON, or bytes behind it, little-endian, `width` of each. */
typedef struct srv_ints {
    const srv_json *json;
    const char *raw;
    size_t width;
} srv_ints;
static inline bool srv_has_ints(const srv_ints *ints) {
    return ints->json != NULL || ints->raw != NULL;
}

/* Token ids in the place of a text: n of each kind that there is. */
typedef struct srv_ids {
    srv_ints ids, mask, types;
    size_t n;
} srv_ids;

typedef enum srv_function { SRV_BY_MODEL, SRV_SOFTMAX, SRV_SIGMOID, SRV_PLAIN } srv_function;

/* aggregation_strategy; 0: not said */
typedef enum srv_aggregation { SRV_NONE = 1, SRV_SIMPLE, SRV_FIRST, SRV_AVERAGE, SRV_MAX } srv_aggregation;

typedef struct srv_output {
    const srv_json *name;
    int64_t classes; /* the classification extension's k; 0: not asked for */
} srv_output;
enum { SRV_OUTPUTS = 4 };

/* A token of /tokenize, and the code points that it stands for. */
typedef struct srv_token {
    int32_t id;
    uint32_t start, stop;
} srv_token;

typedef struct srv_ask {
    retort_text *texts; /* [count] or NULL */
    srv_ids *ids;       /* [count] or NULL */
    size_t count, capacity;
    bool single;        /* one input, not a list of one */
    bool nested;        /* Hugging Face's form of the answer to it */
    bool token_vectors; /* in place of a text's */
    bool no_job;        /* the answer needs the tokenizer alone */
    int like;           /* POST /: 1 + the task of the models that it is for; 0: any */
    bool listed;        /* zero-shot: labels with their scores, as Hugging Face's API has them */
    bool similarity;    /* POST /: cosines with the first text */
    srv_slice named;    /* the model, in the body */
    srv_switch truncate;
    srv_slice prompt;         /* prompt_name */
    int direction;            /* truncation_direction: a retort_side */
    int function;             /* srv_function */
    bool raw;                 /* raw_scores */
    srv_switch unit, special; /* normalize, add_special_tokens: as said */
    int encoding;             /* encoding_format: 2 is base64 */
    int content_type;
    int64_t top, old_top; /* best labels, answers or guesses only; 0: not said. old_top: its older name */
    srv_switch all;       /* return_all_scores */
    /* Zero-shot classification: the labels as asked, and once read: texts come in their order with each. */
    const srv_json *candidates;
    srv_slice hypothesis;
    bool multi_label;
    srv_slice *labels; /* [label_count] */
    size_t label_count;
    srv_out made; /* the hypotheses */
    /* Models that tag, answer and fill, as the library's options have it; stride -1: not said. */
    int aggregation; /* srv_aggregation */
    int64_t stride, longest, window, question;
    bool impossible, spans; /* spans: srv_spans are the answer */
    srv_switch align, grouped, subwords;
    const srv_json *ignore, *targets;
    bool normalize;  /* vectors of length 1 */
    int64_t columns; /* OpenAI's dimensions; 0: all */
    bool with_text;  /* rerank's return_text */
    bool documents;  /* rerank: Cohere's form of the answer */
    srv_switch with_document;
    bool no_special;    /* tokenize without [CLS] and [SEP] */
    const srv_json *id; /* v2: to be given back */
    srv_output outputs[SRV_OUTPUTS];
    size_t output_count;
} srv_ask;

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

typedef enum srv_stage { SRV_READING, SRV_REFUSING, SRV_WAITING, SRV_ANSWERING } srv_stage;

typedef struct srv_connection srv_connection;

struct srv_call {
    srv_server *server;
    srv_connection *from;
    struct MHD_Connection *connection;
    const srv_route *route;          /* NULL: none found */
    const char *method, *path;       /* libmicrohttpd's, as long as the request lasts */
    const char *target, *target_end; /* as the first line had it; its text has been unescaped since */
    bool odd_target;                 /* with a blank, or an escaped NUL */
    bool unframed;                   /* what follows the head is not known: the connection must end */
    srv_stage stage;
    bool begun; /* the head was looked at */
    srv_slice model, version;
    srv_out body, answer;
    const char *content_type;
    const char *policy, *allow; /* of a page's content; methods of the path; or NULL */
    size_t received;            /* bytes of the body */
    srv_json_doc json;
    size_t json_length; /* of a body with bytes behind the JSON; 0: all of it is JSON */
    const char *binary; /* these bytes */
    size_t binary_length;
    srv_ask ask;
    srv_engine *engine;
    const char *prompt_name; /* of the model's prompts, or NULL */
    srv_job job;             /* job.items NULL: nothing was asked of a model */
    size_t tokens, characters, truncated;
    size_t charged;   /* bytes of the budget for what the call holds itself */
    bool helped;      /* a helper has read the body: the connection is suspended */
    srv_call *behind; /* among those that wait for a helper */
    srv_writing writing;
    unsigned status; /* HTTP's */
    bool failed;
    srv_error_id error;
    char what[512]; /* the error's text */
    double wait;    /* Retry-After */
    int64_t started, encode_time, answered;
    char request_id[64];
    size_t sent; /* bytes of the answer that libmicrohttpd has taken */
};

/* A connection as the watchdog sees it, and its requests, one at a time. */
struct srv_connection {
    srv_connection *next, *previous;
    int fd;
    atomic_int stage;   /* srv_stage, or -1 between two requests */
    atomic_llong since; /* of the stage; ns */
    bool excess;        /* beyond --max-connections: it gets one answer */
    atomic_bool used;   /* there was a request */
    /* The main thread's, of a connection between two requests: whether a head has begun to come. */
    int64_t quiet_since, head_since;
    uint64_t quiet_bytes;
    srv_call call;
};

/* The first fault counts. Always false. */
bool srv_call_fail(srv_call *call, srv_error_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "inputs: expected a string, found a number" */
bool srv_call_wrong(srv_call *call, const char *name, const char *expected, const srv_json *found);
/* Reads the body (followed by a NUL) and makes its job. False: there is none to wait for, or failed. */
bool srv_call_ask(srv_call *call);
/* The same, and puts the job in the queue. True: it waits there, and may be answered before this returns. */
bool srv_call_run(srv_call *call);
/* When the request is to be taken by, from the server's time limit or a shorter one that the client names;
 * false: srv_call_fail has been called. */
bool srv_call_deadline(srv_call *call, int64_t now);
/* What became of the job: an answer, its first part or an error is written. */
void srv_call_answer(srv_call *call);
/* Appends the next part of an answer that is not whole. It may fail. */
void srv_call_more(srv_call *call);
/* Takes bytes from the budget for what the call holds from now on; false: srv_call_over has been called. */
bool srv_call_charge(srv_call *call, size_t bytes);
/* Refuses the request because the budget has no room. Always false. */
bool srv_call_over(srv_call *call);
/* The same, or srv_call_fail: `over` says which. Always false. */
bool srv_call_no_memory(srv_call *call, bool over);
/* encode.c: texts or ids to the rows of the job; texts to the tokens of /tokenize. False: failed. */
bool srv_call_encode(srv_call *call);
bool srv_call_tokenize(srv_call *call);
void srv_call_write_error(srv_call *call);
/* The answer of a call that has none for want of memory. */
const char *srv_call_last_words(const srv_call *call);
/* The end of OpenAI's and Cohere's answers, with the texts that were cut where some were. */
void srv_write_usage(srv_call *call);
/* A header of the request, or NULL. */
const char *srv_header(const srv_call *call, const char *name);
/* Gives back what the request has taken, for a next one: small buffers of the body and its JSON stay. */
void srv_call_reset(srv_call *call);
/* All that the call holds, not the call itself. */
void srv_call_free(srv_call *call);

/* ---- Reading: members of a body. False: srv_call_fail has been called. ---- */

bool srv_read_int(srv_call *call, const srv_json *object, const char *name, int64_t least, int64_t most,
                  int64_t *out);
/* A new text or sequence of ids of the request, or NULL; the limit on items is checked. */
retort_text *srv_add_text(srv_call *call);
srv_ids *srv_add_ids(srv_call *call);
bool srv_add_string(srv_call *call, const char *name, const srv_json *string);
bool srv_add_id_list(srv_call *call, const char *name, const srv_json *list);
/* The list `name` of texts, each read by `add`, as partners of the body's query. */
bool srv_read_ranked(srv_call *call, const srv_json *body, const char *name,
                     bool (*add)(srv_call *call, const char *name, const srv_json *value));
/* What the last text is paired with. */
bool srv_add_pair(srv_call *call, const char *name, const srv_json *string);

/* ---- Writing ---- */

/* There is more to come: the route's write function is called again, sooner or later, with the next part. */
static inline void srv_more(srv_call *call) {
    call->writing.whole = false;
    call->writing.part++;
}

/* The label's name, or "LABEL_i" in scratch. */
const char *srv_label(const srv_call *call, size_t index, char *scratch, size_t size);
static inline const float *srv_values(const srv_call *call, size_t i) {
    return call->job.items[i].row->answer;
}
/* Scores [labels] of a row of logits. */
void srv_scores(const srv_call *call, const float *logits, float *scores);
/* Indices of the scores, best first. */
void srv_order(const float *scores, size_t n, uint32_t *order);
/* Room for n scores and their order in call->writing, until the call ends; again and again the same. False:
 * out of memory, and srv_call_fail has been called. */
bool srv_ranking_open(srv_call *call, size_t n);
/* How well each text answers its query, and their order, in call->writing; as srv_ranking_open. */
bool srv_rank(srv_call *call);
/* The vector of text i, of length 1 when asked for, in `scratch`. */
const float *srv_vector(const srv_call *call, size_t i, float *scratch, size_t n);

/* The handlers of the rows of routes.c. */
bool srv_tei_read_predict(srv_call *call, const srv_json *body);
void srv_tei_write_predict(srv_call *call);
bool srv_tei_read_embed(srv_call *call, const srv_json *body);
void srv_tei_write_embed(srv_call *call);
bool srv_tei_read_rerank(srv_call *call, const srv_json *body);
bool srv_tei_check_rerank(srv_call *call);
void srv_tei_write_rerank(srv_call *call);
bool srv_cohere_read_documents(srv_call *call, const srv_json *body);
void srv_cohere_write_rank(srv_call *call);
bool srv_tei_read_similarity(srv_call *call, const srv_json *body);
void srv_tei_write_similarity(srv_call *call);
bool srv_tei_read_tokenize(srv_call *call, const srv_json *body);
void srv_tei_write_tokenize(srv_call *call);
bool srv_tei_read_embed_all(srv_call *call, const srv_json *body);
bool srv_tei_check_embed_all(srv_call *call);
void srv_tei_write_embed_all(srv_call *call);
bool srv_tei_read_decode(srv_call *call, const srv_json *body);
bool srv_tei_check_decode(srv_call *call);
void srv_tei_write_decode(srv_call *call);
void srv_tei_write_info(srv_call *call);
bool srv_zero_read(srv_call *call);
void srv_zero_write(srv_call *call);
bool srv_hf_read(srv_call *call, const srv_json *body);
bool srv_hf_read_model(srv_call *call, const srv_json *body);
void srv_hf_write(srv_call *call);
bool srv_openai_read_embeddings(srv_call *call, const srv_json *body);
void srv_openai_write_embeddings(srv_call *call);
void srv_openai_write_models(srv_call *call);
void srv_openai_write_model(srv_call *call);
bool srv_v2_read_infer(srv_call *call, const srv_json *body);
bool srv_v2_does(const srv_engine *engine);
void srv_v2_write_infer(srv_call *call);
void srv_v2_write_server(srv_call *call);
void srv_v2_write_live(srv_call *call);
void srv_v2_write_ready(srv_call *call);
void srv_v2_write_model(srv_call *call);
void srv_v2_write_model_ready(srv_call *call);
/* The engine that the path names, kept in the call; false: srv_call_fail has been called. */
bool srv_v2_find_model(srv_call *call);
void srv_triton_write_config(srv_call *call);
void srv_triton_write_index(srv_call *call);
void srv_triton_write_statistics(srv_call *call);
void srv_write_page(srv_call *call);
void srv_write_live(srv_call *call);
void srv_write_ready(srv_call *call);
void srv_write_metrics(srv_call *call);
void srv_write_openapi(srv_call *call);

#endif
