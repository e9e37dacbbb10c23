/* SPDX-License-Identifier: Apache-2.0
 * One answer of a server (HTTP/1.0 and 1.1), taken in pieces of any size. */
#ifndef LOAD_ANSWER_H
#define LOAD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum load_stage {
    LOAD_STATUS_LINE,
    LOAD_FIELDS,
    LOAD_BODY,       /* `left` bytes of it */
    LOAD_CHUNK_SIZE, /* the line with the size of a chunk */
    LOAD_CHUNK,      /* `left` bytes of it */
    LOAD_CHUNK_END,  /* the line end after it */
    LOAD_TRAILERS,
    LOAD_TO_THE_END, /* the body ends with the connection */
    LOAD_COMPLETE
} load_stage;
/* Start with {0}. */
typedef struct load_answer {
    load_stage stage;
    int status;
    bool keep, chunked, sized, retry_after; /* from its header */
    bool touched;                           /* a byte of it has arrived */
    uint64_t left;
    uint64_t hash;             /* FNV-1a of the body */
    char line[256], body[512]; /* the current line; the start of the body */
    size_t line_length, body_length;
} load_answer;
/* Takes up to n bytes and stops at the end of the answer; *taken were part of it. False: this is not HTTP. */
bool load_answer_take(load_answer *answer, const char *bytes, size_t n, size_t *taken);
/* The connection has ended: whether that completes the answer. */
bool load_answer_end(load_answer *answer);

#endif
