/* SPDX-License-Identifier: Apache-2.0
 * Texts to batches: the token ids of several sequences, concatenated. */
#ifndef RT_TASK_FEED_H
#define RT_TASK_FEED_H

#include "run/session.h"

/* Tokens per run: enough for every worker of a large machine, but little memory for logits. */
enum { RT_FEED_TOKENS = 32768 };
/* The same if each short sequence gives a row of vocabulary size. */
enum { RT_FEED_MASKED = 2048 };

typedef struct rt_feed {
    int32_t *ids, *types; /* [tokens] */
    int32_t *offsets;     /* [n + 1] */
    int32_t *unpooled;    /* [n] */
    size_t *texts;        /* [n] index of the text of each sequence, as given by the caller */
    size_t tokens, n;
    size_t text, skip; /* of the next sequence: of which text it is, tokens not to pool; set by the caller */
    size_t id_capacity, type_capacity, offset_capacity, unpooled_capacity, text_capacity;
    rt_encoding pair; /* scratch */
} rt_feed;

/* What a text is read in. */
struct retort_windows {
    rt_encoding *items;
    size_t count;
    uint64_t truncated; /* 1: the text is longer than what is read of it */
    /* Of the caller's: what they were made of. */
    const retort_model *model;
    size_t length, pair_length;
};
/* All that it holds, not the struct itself. */
void rt_windows_clear(retort_windows *windows);

/* Encoding options for the model of this session: truncate to max_length (< 0: that of the model; 0: its
 * positions). */
rt_encode_options rt_feed_options(retort_session *session, int64_t max_length);
void rt_feed_clear(rt_feed *feed);
void rt_feed_free(rt_feed *feed);
/* Appends one sequence. */
retort_status rt_feed_text(rt_feed *feed, const rt_tokenizer *tokenizer, const rt_encode_options *options,
                           const retort_text *text, retort_error *err);
retort_status rt_feed_encoding(rt_feed *feed, const rt_encoding *encoding, retort_error *err);
/* Runs the network on the sequences; *out as in retort_run. RETORT_NONFINITE names the text. */
retort_status rt_feed_run(const rt_feed *feed, retort_session *session, retort_matrix *out,
                          retort_error *err);

#endif
