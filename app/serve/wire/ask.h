/* SPDX-License-Identifier: Apache-2.0
 * What a request asks of a model. */
#ifndef SERVE_ASK_H
#define SERVE_ASK_H

#include "retort.h"
#include "serve/base/json.h"
#include "serve/base/out.h"
#include "serve/queue/service.h"
#include "serve/wire/field.h"

/* Consecutive whole numbers: values of the JSON, or little-endian bytes after it, `width` bytes each. */
typedef struct srv_ints {
    const srv_json *json;
    const char *raw;
    size_t width;
} srv_ints;
static inline bool srv_has_ints(const srv_ints *ints) {
    return ints->json != NULL || ints->raw != NULL;
}

/* Token ids instead of a text: n of each kind that is given. */
typedef struct srv_ids {
    srv_ints ids, mask, types;
    size_t n;
} srv_ids;

typedef enum srv_function { SRV_BY_MODEL, SRV_SOFTMAX, SRV_SIGMOID, SRV_PLAIN } srv_function;

typedef struct srv_output {
    const srv_json *name;
    int64_t classes; /* k of the classification extension; 0: not requested */
} srv_output;
enum { SRV_OUTPUTS = 4 };
typedef struct srv_ask {
    retort_text *texts; /* [count] or NULL */
    srv_ids *ids;       /* [count] or NULL */
    size_t count, capacity;
    bool single;        /* one input, not a list of one */
    bool nested;        /* answer in Hugging Face's form */
    bool token_vectors; /* instead of text vectors */
    bool no_job;        /* the answer needs only the tokenizer */
    int like;           /* POST /: 1 + the task that the body is for; 0: any */
    bool listed;        /* zero-shot: a list of labels with scores, as in Hugging Face's API */
    bool similarity;    /* POST /: similarities to the first text */
    srv_slice named;    /* the model named in the body */
    srv_switch truncate;
    srv_slice prompt;         /* prompt_name */
    int direction;            /* truncation_direction: a retort_side */
    int function;             /* srv_function */
    bool raw;                 /* raw_scores */
    srv_switch unit, special; /* normalize, add_special_tokens */
    int encoding;             /* encoding_format: 2 is base64 */
    int content_type;
    int64_t top,
        old_top;    /* only the best labels, answers or guesses; 0: not given. old_top: the older name */
    srv_switch all; /* return_all_scores */
    /* Zero-shot classification: the labels of the request, then split; each text is paired with each, in
     * this order. */
    const srv_json *candidates;
    srv_slice hypothesis;
    bool multi_label;
    srv_slice *labels; /* [label_count] */
    size_t label_count;
    srv_out made; /* the hypotheses */
    /* Models that tag, answer and fill, in the terms of the library's options; stride -1: not given. */
    int aggregation; /* srv_aggregation */
    int64_t stride, longest, window, question;
    bool impossible, spans; /* spans: answers are srv_spans */
    srv_switch align, grouped, subwords;
    const srv_json *ignore, *targets;
    bool normalize;  /* vectors of length 1 */
    int64_t columns; /* OpenAI's dimensions; 0: all */
    bool with_text;  /* rerank's return_text */
    bool documents;  /* rerank: Cohere's form of the answer */
    srv_switch with_document;
    bool no_special;    /* tokenize without special tokens */
    const srv_json *id; /* v2: to be returned */
    srv_output outputs[SRV_OUTPUTS];
    size_t output_count;
} srv_ask;

#endif
