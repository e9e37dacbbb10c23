/* SPDX-License-Identifier: Apache-2.0
 * What the wire forms share for writing an answer. */
#ifndef SERVE_WRITE_H
#define SERVE_WRITE_H

#include "serve/wire/call.h"

/* More parts follow: the route's write function is called again with the next one. */
static inline void srv_more(srv_call *call) {
    call->writing.whole = false;
    call->writing.part++;
}

/* The label's name, or "LABEL_i" in scratch. */
const char *srv_label(const srv_call *call, size_t index, char *scratch, size_t size);
static inline const float *srv_values(const srv_call *call, size_t i) {
    return call->job.items[i].entry->answer;
}
/* The scores [labels] of a row of logits. */
void srv_scores(const srv_call *call, const float *logits, float *scores);
/* Makes room for n scores and their order in call->writing, once per call. False: srv_call_fail has been
 * called. */
bool srv_ranking_open(srv_call *call, size_t n);
/* The vector of text i; in `scratch` if it has to be normalised. */
const float *srv_vector(const srv_call *call, size_t i, float *scratch, size_t n);
/* The end of OpenAI's and Cohere's answers, with the number of truncated texts, if any. */
void srv_write_usage(srv_call *call);

#endif
