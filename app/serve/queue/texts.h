/* SPDX-License-Identifier: Apache-2.0
 * Tasks whose answers are parts of a text: entities, answers, guesses for mask tokens. */
#ifndef SERVE_TEXTS_H
#define SERVE_TEXTS_H

#include "retort.h"
#include "serve/base/json.h"
#include "serve/base/memory.h"
#include "serve/queue/queue.h"

/* aggregation_strategy; 0: not given */
typedef enum srv_aggregation { SRV_NONE = 1, SRV_SIMPLE, SRV_FIRST, SRV_AVERAGE, SRV_MAX } srv_aggregation;

/* What is asked about a text, in the terms of the library's options. */
typedef struct srv_text_options {
    int32_t top, aggregation, stride, longest, window, question; /* stride -1: not given */
    bool impossible, pieces, cut;
    bool spans;            /* the answer is srv_spans, not JSON */
    const srv_json *words; /* labels to ignore, or targets: a string or a list of strings; NULL: not given */
} srv_text_options;

/* An answer that is not JSON. */
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
    bool no_op; /* does not run the model */
} srv_text_runner;

/* Tokenises a text for its entry. `err` as from the library. */
retort_status srv_text_windows(retort_windows **out, retort_encoder *encoder, retort_task task,
                               const srv_text_options *options, const retort_text *text, bool special_as_text,
                               retort_error *err);
/* An entry whose key contains the text and the options; NULL if out of memory. */
srv_entry *srv_text_entry(const srv_text_options *options, const retort_text *text, size_t tokens);
/* Runs such an entry. The answer is NUL-terminated JSON, or srv_spans if requested, or "!" followed by what
 * is wrong with the text; its bytes are added to the entry's. On failure NULL and *why: RETORT_LIMIT if the
 * budget has no room for the answer. */
char *srv_text_run(const srv_text_runner *runner, srv_entry *entry, retort_status *why);

#endif
