/* SPDX-License-Identifier: Apache-2.0
 * The tasks with one row of logits per text: classify and embed. */
#include "task/feed.h"
#include "task/task.h"

#include <string.h>

/* out: [n, columns] */
static retort_status rows_of(retort_session *session, const retort_text *texts, size_t n, float *out,
                             rt_feed *feed, retort_error *err) {
    const retort_model *model = rt_session_model(session);
    rt_encode_options options = rt_feed_options(session, -1);
    for (size_t i = 0; i < n;) {
        retort_matrix rows;
        retort_status status = RETORT_OK;
        rt_feed_clear(feed);
        while (status == RETORT_OK && i < n && feed->tokens < RT_FEED_TOKENS) {
            feed->text = i;
            status = rt_feed_text(feed, model->tokenizer, &options, &texts[i++], err);
        }
        if (status == RETORT_OK) status = rt_feed_run(feed, session, &rows, err);
        if (status != RETORT_OK) return status;
        memcpy(out, rows.data, rows.rows * rows.columns * sizeof *out);
        out += rows.rows * rows.columns;
    }
    return RETORT_OK;
}

retort_status rt_embed(retort_session *session, const retort_text *texts, size_t n, float *vectors,
                       retort_error *err) {
    rt_feed feed = {0};
    retort_status status = rows_of(session, texts, n, vectors, &feed, err);
    rt_feed_free(&feed);
    return status;
}

void retort_scores(retort_problem problem, const float *logits, size_t n, float *scores) {
    switch (problem) {
    case RETORT_PROBLEM_SINGLE_LABEL:
        rt_score_softmax(logits, n, scores);
        break;
    case RETORT_PROBLEM_MULTI_LABEL:
        rt_score_sigmoid(logits, n, scores);
        break;
    case RETORT_PROBLEM_REGRESSION:
        memmove(scores, logits, n * sizeof *scores);
        break;
    }
}

retort_status rt_classify(retort_session *session, const retort_text *texts, size_t n, float *scores,
                          float *logits, retort_error *err) {
    const rt_config *config = &rt_session_model(session)->config;
    size_t labels = (size_t)config->labels;
    retort_status status = rt_embed(session, texts, n, scores, err);
    if (status != RETORT_OK) return status;
    if (logits != NULL) memcpy(logits, scores, n * labels * sizeof *scores);
    for (size_t i = 0; i < n; i++) {
        float *row = scores + i * labels;
        rt_score_row(config, row, row);
    }
    return RETORT_OK;
}
