/* SPDX-License-Identifier: Apache-2.0 */
#include "cascade/verdicts.h"

#include "model/cascade.h"
#include "task/scores.h"

#include <stdlib.h>
#include <string.h>

/* Tokens of a batch: enough for every core, and often enough for progress. */
enum { BATCH = 8192 };

retort_status rt_texts_add(rt_feed *feed, retort_session *session, const retort_dataset *data,
                           const uint32_t *indices, size_t n, retort_error *err) {
    rt_encode_options options = rt_feed_options(session, -1);
    const rt_tokenizer *tokenizer = rt_session_model(session)->tokenizer;
    retort_status status = rt_model_unpooled(rt_session_model(session), &options, &feed->skip, err);
    for (size_t i = 0; status == RETORT_OK && i < n; i++) {
        feed->text = feed->n;
        status = rt_feed_text(feed, tokenizer, &options,
                              &data->samples[indices != NULL ? indices[i] : i].text, err);
    }
    return status;
}

static void note(const rt_verdict_out *out, size_t at, const float *logits, size_t labels) {
    size_t label;
    double sure = rt_cascade_sureness(logits, labels, &label);
    if (out->sure != NULL) out->sure[at] = sure;
    if (out->label != NULL) out->label[at] = (int32_t)label;
    if (out->probabilities != NULL) rt_score_softmax(logits, labels, out->probabilities + at * labels);
}

/* The texts [from, *to) as a batch of its own, up to about BATCH tokens; offsets: [n + 1]. */
static rt_batch slice(const rt_feed *feed, size_t from, size_t *to, bool types, int32_t *offsets) {
    int32_t start = feed->offsets[from];
    size_t i = from;
    offsets[0] = 0;
    for (; i < *to && (i == from || feed->offsets[i + 1] - start <= BATCH); i++)
        offsets[i - from + 1] = feed->offsets[i + 1] - start;
    *to = i;
    return (rt_batch){.ids = feed->ids + start,
                      .types = types ? feed->types + start : NULL,
                      .offsets = offsets,
                      .n = i - from,
                      .unpooled = feed->unpooled + from};
}

retort_status rt_texts_run(const rt_feed *feed, size_t from, size_t to, retort_session *session,
                           const rt_verdict_out *out, rt_watch *watch, retort_error *err) {
    bool types = rt_config_has_types(&rt_session_model(session)->config);
    int32_t *offsets = rt_calloc(to - from + 1, sizeof *offsets);
    retort_status status = offsets != NULL ? RETORT_OK : rt_fail_nomem(err, (to - from) * sizeof *offsets);
    for (size_t at = from, end; status == RETORT_OK && at < to; at = end) {
        retort_matrix rows;
        end = to;
        rt_batch batch = slice(feed, at, &end, types, offsets);
        status = rt_session_run(session, &batch, &rows, err);
        for (size_t i = 0; status == RETORT_OK && i < rows.rows; i++)
            note(out, at - from + i, rows.data + i * rows.columns, rows.columns);
        watch->done += end - at;
        if (status == RETORT_OK && watch->progress != NULL &&
            watch->progress(watch->user, "texts", watch->done, watch->total) != 0)
            status = rt_fail(err, RETORT_CANCELLED, "cascade: cancelled");
    }
    free(offsets);
    return status;
}

retort_status rt_texts_run_ngrams(const rt_feed *feed, size_t from, size_t to, const rt_ngrams *ngrams,
                                  const rt_verdict_out *out, retort_error *err) {
    float *logits = rt_calloc(ngrams->labels, sizeof *logits);
    int32_t *sums = rt_calloc(ngrams->labels, sizeof *sums);
    bool made = logits != NULL && sums != NULL;
    for (size_t i = from; made && i < to; i++) {
        size_t length = (size_t)(feed->offsets[i + 1] - feed->offsets[i]);
        rt_ngrams_run(ngrams, feed->ids + feed->offsets[i], length, sums, logits);
        note(out, i - from, logits, ngrams->labels);
    }
    free(logits);
    free(sums);
    return made ? RETORT_OK : rt_fail_nomem(err, ngrams->labels * sizeof *logits);
}
