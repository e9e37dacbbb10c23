/* SPDX-License-Identifier: Apache-2.0
 * Text → batch: the token ids of several sequences, one after another. */
#ifndef RT_TASK_FEED_H
#define RT_TASK_FEED_H

#include "run/session.h"

/* Enough tokens a run to keep every worker of a large machine busy; memory for logits stays small. */
enum { RT_FEED_TOKENS = 32768 };
/* The same where each short sequence gives a row of vocabulary size. */
enum { RT_FEED_MASKED = 2048 };

typedef struct rt_feed {
    int32_t *ids, *types; /* [tokens] */
    int32_t *offsets;     /* [n + 1] */
    size_t *texts;        /* [n] the caller's number of the text that a sequence is of */
    size_t tokens, n;
    size_t text; /* of what is fed next; set by the caller */
    size_t id_capacity, type_capacity, offset_capacity, text_capacity;
    rt_encoding pair; /* scratch */
} rt_feed;

/* How texts of this session's model are encoded: cut at max_length (< 0: the model's own; 0:
 * its positions). */
rt_encode_options rt_feed_options(retort_session *session, int64_t max_length);
void rt_feed_clear(rt_feed *feed);
void rt_feed_free(rt_feed *feed);
/* Appends one sequence. */
retort_status rt_feed_text(rt_feed *feed, const rt_tokenizer *tokenizer, const rt_encode_options *options,
                           const retort_text *text, retort_error *err);
retort_status rt_feed_encoding(rt_feed *feed, const rt_encoding *encoding, retort_error *err);
/* Runs the network on what was fed; *out as retort_run gives it. RETORT_NONFINITE names the text. */
retort_status rt_feed_run(const rt_feed *feed, retort_session *session, retort_matrix *out,
                          retort_error *err);

#endif
