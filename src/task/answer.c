/* SPDX-License-Identifier: Apache-2.0
 * Extractive question answering, as transformers' pipeline does it: overlapping windows of the context, the
 * best pair of start and end within a window, the best window. */
#include "task/feed.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>

retort_status rt_answer_windows(retort_session *session, const retort_text *text, int64_t max_length,
                                rt_encoding **windows, size_t *count, retort_error *err) {
    rt_encode_options options = rt_feed_options(session, max_length);
    options.max_length = rt_min(options.max_length, RT_ANSWER_WINDOW);
    options.stride = rt_min(options.max_length / 2, RT_ANSWER_STRIDE);
    options.truncation = RT_ONLY_SECOND;
    options.words = true;
    return rt_encode_windows(rt_session_model(session)->tokenizer, text, &options, RT_ANSWER_WINDOWS, windows,
                             count, err);
}

static bool in_context(const rt_encoding *window, size_t token) {
    return window->types[token] == 1 && window->words[token] >= 0;
}

/* Largest logit and Σ exp(logit - largest) of one column over the tokens that take part in the softmax: the
 * context and [CLS]. */
static double column_sum(const rt_encoding *window, const float *logits, double *most) {
    double sum = 0;
    *most = -INFINITY;
    for (size_t i = 0; i < window->count; i++) {
        if (i == 0 || in_context(window, i)) *most = fmax(*most, logits[2 * i]);
    }
    for (size_t i = 0; i < window->count; i++) {
        if (i == 0 || in_context(window, i)) sum += exp(logits[2 * i] - *most);
    }
    return sum;
}

/* Widens [first, last] to whole words of the context. */
static void set_span(const rt_encoding *window, size_t first, size_t last, retort_span *answer) {
    const int32_t *words = window->words;
    while (first > 0 && in_context(window, first - 1) && words[first - 1] == words[first]) first--;
    while (last + 1 < window->count && in_context(window, last + 1) && words[last + 1] == words[last]) last++;
    answer->start = window->offsets[2 * first];
    answer->end = window->offsets[2 * last + 1];
}

void rt_answer_best(const rt_encoding *window, const float *logits, retort_span *answer) {
    double start_most, end_most, best = -INFINITY; /* the best sum of logits: the best product of scores */
    double sums = column_sum(window, logits, &start_most) * column_sum(window, logits + 1, &end_most);
    size_t first = 0, last = 0;
    for (size_t i = 0; i < window->count; i++) {
        for (size_t j = i; j < window->count && j < i + RT_ANSWER_LONGEST; j++) {
            if (!in_context(window, i) || !in_context(window, j)) break;
            double sum = (double)logits[2 * i] + logits[2 * j + 1];
            if (sum <= best) continue;
            best = sum;
            first = i;
            last = j;
        }
    }
    float score = (float)(exp(best - start_most - end_most) / sums);
    if (best == -INFINITY || score <= answer->score) return;
    answer->score = score;
    set_span(window, first, last, answer);
}

/* A few windows at a time, so that a long context needs no more memory than a short one. */
static retort_status answer_from(retort_session *session, const rt_encoding *windows, size_t count,
                                 rt_feed *feed, retort_span *answer, retort_error *err) {
    for (size_t i = 0; i < count;) {
        retort_matrix rows;
        retort_status status = RETORT_OK;
        size_t first = i;
        rt_feed_clear(feed);
        while (status == RETORT_OK && i < count && feed->tokens < RT_FEED_TOKENS) {
            status = rt_feed_encoding(feed, &windows[i++], err);
        }
        if (status == RETORT_OK) status = rt_feed_run(feed, session, &rows, err);
        if (status != RETORT_OK) return status;
        for (size_t w = 0; w < feed->n; w++) {
            rt_answer_best(&windows[first + w], rows.data + 2 * (size_t)feed->offsets[w], answer);
        }
    }
    return RETORT_OK;
}

retort_status rt_answer(retort_session *session, const retort_text *text, retort_span *answer,
                        retort_error *err) {
    rt_feed feed = {0};
    rt_encoding *windows = NULL;
    size_t count = 0;
    *answer = (retort_span){.label = -1};
    retort_status status = rt_answer_windows(session, text, -1, &windows, &count, err);
    if (status == RETORT_OK) status = answer_from(session, windows, count, &feed, answer, err);
    if (status == RETORT_OK) rt_span_bytes(text->pair, text->pair_length, answer, 1);
    for (size_t i = 0; i < count; i++) rt_encoding_free(&windows[i]);
    free(windows);
    rt_feed_free(&feed);
    return status;
}
