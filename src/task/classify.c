/* SPDX-License-Identifier: Apache-2.0
 * The tasks with one row of logits per text: classify and embed. */
#include "task/feed.h"
#include "task/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes the rows of a batch of texts, of which `first` is the first one. */
typedef retort_status (*take_rows)(void *user, size_t first, const retort_matrix *rows, retort_error *err);

/* Runs the texts in batches. */
static retort_status each_batch(retort_session *session, const retort_text *texts, size_t n, take_rows take,
                                void *user, retort_error *err) {
    const retort_model *model = rt_session_model(session);
    rt_encode_options options = rt_feed_options(session, -1);
    rt_feed feed = {0};
    retort_status status = rt_model_unpooled(model, &options, &feed.skip, err);
    for (size_t i = 0; status == RETORT_OK && i < n;) {
        retort_matrix rows;
        size_t first = i;
        rt_feed_clear(&feed);
        while (status == RETORT_OK && i < n && feed.tokens < RT_FEED_TOKENS) {
            feed.text = i;
            status = rt_feed_text(&feed, model->tokenizer, &options, &texts[i++], err);
        }
        if (status == RETORT_OK) status = rt_feed_run(&feed, session, &rows, err);
        if (status == RETORT_OK) status = take(user, first, &rows, err);
    }
    rt_feed_free(&feed);
    return status;
}

/* user: the caller's array [n, columns] */
static retort_status copy_rows(void *user, size_t first, const retort_matrix *rows, retort_error *err) {
    (void)err;
    float *out = user;
    memcpy(out + first * rows->columns, rows->data, rows->rows * rows->columns * sizeof *out);
    return RETORT_OK;
}

retort_status rt_embed(retort_session *session, const retort_text *texts, size_t n, float *vectors,
                       retort_error *err) {
    return each_batch(session, texts, n, copy_rows, vectors, err);
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

typedef struct classifying {
    const rt_config *config;
    float *scores; /* [labels] */
    retort_classified_fn each;
    void *user;
} classifying;

static retort_status give_rows(void *user, size_t first, const retort_matrix *rows, retort_error *err) {
    const classifying *c = user;
    char unnamed[32];
    for (size_t i = 0; i < rows->rows; i++) {
        const float *logits = rows->data + i * rows->columns;
        rt_score_row(c->config, logits, c->scores);
        size_t best = rt_score_best(c->scores, rows->columns);
        snprintf(unnamed, sizeof unnamed, "LABEL_%zu", best);
        const retort_classified text = {.size = sizeof text,
                                        .text = first + i,
                                        .scores = c->scores,
                                        .logits = logits,
                                        .labels = rows->columns,
                                        .best = best,
                                        .score = c->scores[best],
                                        .label = c->config->label_names != NULL ? c->config->label_names[best]
                                                                                : unnamed};
        if (c->each(c->user, &text) != 0)
            return rt_fail(err, RETORT_CANCELLED, "classify: stopped at text %zu", text.text);
    }
    return RETORT_OK;
}

retort_status rt_classify_each(retort_session *session, const retort_text *texts, size_t n,
                               retort_classified_fn each, void *user, retort_error *err) {
    const rt_config *config = &rt_session_model(session)->config;
    size_t labels = (size_t)config->labels;
    classifying c = {config, rt_calloc(labels, sizeof *c.scores), each, user};
    if (c.scores == NULL) return rt_fail_nomem(err, labels * sizeof *c.scores);
    retort_status status = each_batch(session, texts, n, give_rows, &c, err);
    free(c.scores);
    return status;
}
