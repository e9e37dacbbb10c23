/* SPDX-License-Identifier: Apache-2.0
 * Tasks whose answers are parts of a text: entities, answers, guesses for mask tokens. */
#ifndef SERVE_TEXTS_H
#define SERVE_TEXTS_H

#include "retort.h"
#include "serve/base/json.h"
#include "serve/base/memory.h"
#include "serve/queue/queue.h"

/* aggregation_strategy; 0: not said */
typedef enum srv_aggregation { SRV_NONE = 1, SRV_SIMPLE, SRV_FIRST, SRV_AVERAGE, SRV_MAX } srv_aggregation;

/* What is asked about a text, as the options of the library have it. */
typedef struct srv_text_options {
    int32_t top, aggregation, stride, longest, window, question; /* stride -1: not said */
    bool impossible, pieces, cut;
    bool spans;            /* the answer is srv_spans, not JSON */
    const srv_json *words; /* labels to ignore, or targets: a string or a list of strings; NULL: not said */
} srv_text_options;

/* An answer in place of JSON. */
typedef struct srv_spans {
    char mark; /* ' ' */
    size_t count;
    retort_span items[];
} srv_spans;

/* What runs a text. */
typedef struct srv_text_runner {
    const retort_model *model;
    const retort_info *info; /* of the model */
    retort_session *session;
    srv_memory *budget;
    bool no_op; /* no network is run */
} srv_text_runner;

/* A row whose key holds the text and the options; NULL when out of memory. */
srv_row *srv_text_row(const srv_text_options *options, const retort_text *text, size_t tokens);
/* The answer of such a row: JSON, NUL-terminated, or srv_spans where they were asked for, or "!" and what is
 * wrong with the text; its bytes are the row's. NULL and *why when it cannot be run: RETORT_LIMIT when the
 * budget has no room for the answer. */
char *srv_text_run(const srv_text_runner *runner, srv_row *row, retort_status *why);

#endif
