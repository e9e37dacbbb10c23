/* SPDX-License-Identifier: Apache-2.0
 * What the wire forms have in common when they write an answer. */
#ifndef SERVE_WRITE_H
#define SERVE_WRITE_H

#include "serve/wire/call.h"

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
/* The vector of text i, of length 1 when asked for, in `scratch`. */
const float *srv_vector(const srv_call *call, size_t i, float *scratch, size_t n);
/* The end of OpenAI's and Cohere's answers, with the texts that were cut where some were. */
void srv_write_usage(srv_call *call);

#endif
