/* SPDX-License-Identifier: Apache-2.0
 * Masked language models: the likeliest pieces for each mask token. */
#include "task/feed.h"
#include "task/task.h"

#include <stdlib.h>

void rt_fill_best(const float *scores, size_t n, retort_fill_guess *guesses, size_t k) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept == k && scores[i] <= guesses[k - 1].score) continue;
        size_t at = kept < k ? kept++ : k - 1;
        for (; at > 0 && guesses[at - 1].score < scores[i]; at--) guesses[at] = guesses[at - 1];
        guesses[at] = (retort_fill_guess){(int32_t)i, scores[i]};
    }
    for (; kept < k; kept++) guesses[kept] = (retort_fill_guess){-1, 0};
}

static retort_status fill_fed(retort_session *session, const rt_feed *feed, size_t k,
                              retort_fill_guess *guesses, size_t max_masks, size_t *masks,
                              retort_error *err) {
    retort_matrix rows;
    retort_status status = rt_feed_run(feed, session, &rows, err);
    if (status != RETORT_OK) return status;
    if (rows.rows == 0) return rt_fail(err, RETORT_ARGUMENT, "fill: the text has no mask token");
    *masks = rows.rows;
    if (rows.rows > max_masks) {
        return rt_fail(err, RETORT_LIMIT,
                       "fill: the %zu mask tokens of the text do not fit into room for %zu", rows.rows,
                       max_masks);
    }
    float *scores = rt_calloc(rows.columns, sizeof *scores);
    if (scores == NULL) return rt_fail_nomem(err, rows.columns * sizeof *scores);
    for (size_t i = 0; k > 0 && i < rows.rows; i++) {
        rt_score_softmax(rows.data + i * rows.columns, rows.columns, scores);
        rt_fill_best(scores, rows.columns, guesses + i * k, k);
    }
    free(scores);
    return RETORT_OK;
}

retort_status rt_fill(retort_session *session, const retort_text *text, size_t k, retort_fill_guess *guesses,
                      size_t max_masks, size_t *masks, retort_error *err) {
    rt_feed feed = {0};
    rt_encode_options options = rt_feed_options(session, -1);
    options.special_as_text = false; /* the mask is a special token of the text */
    retort_status status = rt_feed_text(&feed, rt_session_model(session)->tokenizer, &options, text, err);
    if (status == RETORT_OK) status = fill_fed(session, &feed, k, guesses, max_masks, masks, err);
    rt_feed_free(&feed);
    return status;
}
