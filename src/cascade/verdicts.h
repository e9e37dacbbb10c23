/* SPDX-License-Identifier: Apache-2.0
 * The texts a cascade is made with, as token ids, and what models answer to them. */
#ifndef RT_CASCADE_VERDICTS_H
#define RT_CASCADE_VERDICTS_H

#include "eval/dataset.h"
#include "task/feed.h"

/* Progress of the runs below. */
typedef struct rt_watch {
    retort_progress_fn progress; /* may be NULL */
    void *user;
    size_t done, total; /* texts, of all stages */
} rt_watch;

/* Appends texts of a data set, those with the given indices (NULL: all, in order), as token ids of the session's model. */
retort_status rt_texts_add(rt_feed *feed, retort_session *session, const retort_dataset *data,
                           const uint32_t *indices, size_t n, retort_error *err);

/* Runs texts [from, to) of the feed. sure [to - from] and label [to - from]: as rt_cascade_sureness; probabilities
 * [to - from, labels]: the softmax. Each may be NULL. */
typedef struct rt_verdict_out {
    double *sure;
    int32_t *label;
    float *probabilities;
} rt_verdict_out;
retort_status rt_texts_run(const rt_feed *feed, size_t from, size_t to, retort_session *session,
                           const rt_verdict_out *out, rt_watch *watch, retort_error *err);
/* The same of a linear stage; runs at once. */
retort_status rt_texts_run_ngrams(const rt_feed *feed, size_t from, size_t to, const rt_ngrams *ngrams,
                                  const rt_verdict_out *out, retort_error *err);

#endif
