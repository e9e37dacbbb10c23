/* SPDX-License-Identifier: Apache-2.0
 * Zero-shot classification as in the ZeroShotClassificationPipeline of transformers. */
#include "task/feed.h"
#include "task/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A hypothesis being formatted, or only measured: with many {0}, it is much longer than its parts. */
typedef struct made_text {
    rt_buffer *out; /* or NULL */
    size_t length;
} made_text;

static void put(made_text *made, const char *text, size_t length) {
    if (made->out != NULL) rt_buffer_append(made->out, text, length);
    made->length += length;
}

retort_status rt_hypothesis(const retort_text *hypothesis, const retort_text *label, rt_buffer *out,
                            size_t *length, retort_error *err) {
    const char *at = hypothesis->text, *end = at + hypothesis->length;
    size_t places = 0, unnumbered = 0;
    made_text made = {.out = out};
    for (; at < end; at++) {
        size_t left = (size_t)(end - at);
        bool twice = left > 1 && at[0] == at[1], braces = *at == '{' || *at == '}';
        bool plain = left > 1 && memcmp(at, "{}", 2) == 0, first = left > 2 && memcmp(at, "{0}", 3) == 0;
        if (!braces) {
            put(&made, at, 1);
        } else if (twice) {
            put(&made, at++, 1);
        } else if (plain || first) {
            put(&made, label->text, label->length);
            at += plain ? 1 : 2;
            unnumbered += plain;
            places++;
        } else {
            places = 0;
            break;
        }
    }
    *length = made.length;
    if (at < end || places == 0 || unnumbered > 1 || (unnumbered == 1 && places > 1))
        return rt_fail(
            err, RETORT_ARGUMENT,
            "hypothesis '%.*s': expected one {} where the label goes, or {0}, and {{ }} for braces",
            (int)rt_min(hypothesis->length, 200), hypothesis->text);
    return out != NULL && out->failed ? rt_fail_nomem(err, made.length) : RETORT_OK;
}

/* The index of the entailment logit. */
static size_t entailment(const rt_config *config) {
    for (int64_t i = 0; config->label_names != NULL && i < config->labels; i++) {
        if (strncasecmp(config->label_names[i], "entail", 6) == 0) return (size_t)i;
    }
    return (size_t)config->labels - 1;
}

retort_status rt_zero_shot_scores(const rt_config *config, const float *logits, size_t n, bool multi_label,
                                  float *scores, retort_error *err) {
    size_t labels = (size_t)config->labels, yes = entailment(config), no = yes == 0 ? labels - 1 : 0;
    if (labels < 2)
        return rt_fail(err, RETORT_ARGUMENT,
                       "zero-shot: the model has %zu label; expected one for entailment and one against it",
                       labels);
    for (size_t i = 0; i < n; i++) {
        const float *row = logits + i * labels;
        float both[2] = {row[no], row[yes]};
        if (multi_label || n == 1) {
            rt_score_softmax(both, 2, both);
            scores[i] = both[1];
        } else {
            scores[i] = row[yes];
        }
    }
    if (!multi_label && n > 1) rt_score_softmax(scores, n, scores);
    return RETORT_OK;
}

/* Feeds the text paired with the hypothesis of each label. */
static retort_status feed_labels(rt_feed *feed, retort_session *session, const retort_text *text,
                                 const retort_text *labels, size_t n, const retort_text *hypothesis,
                                 retort_error *err) {
    const rt_tokenizer *tokenizer = rt_session_model(session)->tokenizer;
    rt_encode_options encode = rt_feed_options(session, -1);
    rt_buffer made = {0};
    retort_status status = RETORT_OK;
    encode.truncation = RT_ONLY_FIRST;
    for (size_t i = 0; status == RETORT_OK && i < n; i++) {
        made.length = 0;
        status = rt_hypothesis(hypothesis, &labels[i], &made, &(size_t){0}, err);
        if (status != RETORT_OK) break;
        retort_text pair = {text->text, text->length, made.data != NULL ? made.data : "", made.length};
        status = rt_feed_text(feed, tokenizer, &encode, &pair, err);
    }
    rt_buffer_free(&made);
    return status;
}

retort_status rt_zero_shot(retort_session *session, const retort_text *text, const retort_text *labels,
                           size_t n, const retort_zero_shot_options *options, float *scores,
                           retort_error *err) {
    const char *given = options->hypothesis != NULL ? options->hypothesis : RT_HYPOTHESIS;
    retort_text hypothesis = {.text = given, .length = strlen(given)};
    rt_feed feed = {0};
    retort_matrix rows;
    retort_status status = feed_labels(&feed, session, text, labels, n, &hypothesis, err);
    if (status == RETORT_OK) status = rt_feed_run(&feed, session, &rows, err);
    if (status == RETORT_OK)
        status = rt_zero_shot_scores(&rt_session_model(session)->config, rows.data, n, options->multi_label,
                                     scores, err);
    rt_feed_free(&feed);
    return status;
}
