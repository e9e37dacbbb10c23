/* SPDX-License-Identifier: Apache-2.0
 * Errors, one row each. */
#ifndef SERVE_ERRORS_H
#define SERVE_ERRORS_H

/* id, HTTP status (0: overload_status), error_type of Text Embeddings Inference, OpenAI's type */
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
    X(UNSUITED, 424, "backend", "invalid_request_error")                                                     \
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

typedef struct srv_error {
    unsigned status;
    const char *tei, *openai;
} srv_error;
extern const srv_error srv_errors[SRV_ERROR_COUNT];

#endif
