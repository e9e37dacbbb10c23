/* SPDX-License-Identifier: Apache-2.0
 * What `retort serve` asks of the server. */
#ifndef SERVE_OPTIONS_H
#define SERVE_OPTIONS_H

#include "retort.h"
#include "serve/base/memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct srv_model_spec {
    const char *name, *path; /* a .retort file, or a checkpoint folder */
} srv_model_spec;

typedef struct srv_options {
    const srv_model_spec *models;
    size_t model_count;
    const char *host;      /* address to listen on */
    long port;             /* 0: a free one */
    const char *unix_path; /* NULL, or the path of a socket to listen on instead of the address */
    bool reuse_port;
    long batch_tokens, batch_texts, queue_tokens, jobs, items, body, connections;
    long wait_us, queue_timeout_ms;
    long overload_status; /* 429 or 503 */
    srv_memory *budget;   /* what the server may hold for all requests; NULL: not counted */
    long cache, streams, threads, http_threads;
    long read_timeout, idle_timeout, drain_delay, drain_timeout; /* seconds */
    const char *isa, *provider;
    retort_unpack unpack;
    double shadow;           /* share of the texts of a cascade that its full model answers, too */
    uint64_t memory;         /* bytes that reading a model may use; 0: the default */
    const char *keys_path;   /* NULL: no keys */
    const char *origins;     /* of pages that may send requests, comma-separated; "*": all; NULL: none */
    const char *access_path; /* NULL: no access log; "-": standard output */
    bool no_op;              /* answer with zeros instead of running the model */
    bool keep_special;       /* special tokens that stand in a text are such */
    bool refuse_long;        /* refuse long texts instead of truncating them */
    bool json;               /* print the address as JSON to standard output */
    void (*say)(const char *format, ...) __attribute__((format(printf, 1, 2)));   /* a line on stderr */
    void (*error)(const char *format, ...) __attribute__((format(printf, 1, 2))); /* the same, an error */
} srv_options;

#endif
