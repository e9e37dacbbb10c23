/* SPDX-License-Identifier: Apache-2.0
 * Token classification: entities of texts. */
#include "task/feed.h"
#include "task/task.h"
#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>

void rt_span_bytes(const char *text, size_t length, retort_span *spans, size_t count) {
    const uint8_t *from = (const uint8_t *)text, *end = from + length, *at = from;
    uint32_t point = 0, unused;
    for (size_t i = 0; i < 2 * count; i++) { /* starts and ends in turn, seldom going back */
        retort_span *span = &spans[i / 2];
        uint32_t wanted = i % 2 == 0 ? span->start : span->end;
        if (wanted < point) {
            at = from;
            point = 0;
        }
        for (; point < wanted && at < end; point++) at += rt_utf8_take(at, end, &unused);
        *(i % 2 == 0 ? &span->byte_start : &span->byte_end) = (uint32_t)(at - from);
    }
}

/* Probability of the best label of a row of logits. */
static float best_score(const float *logits, size_t n, size_t best) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i] - logits[best]);
    return (float)(1 / sum);
}

static retort_status append(retort_spans *out, const retort_span *span, retort_error *err) {
    if (!rt_grow((void **)&out->items, &out->capacity, out->count + 1, sizeof *span)) {
        return rt_fail_nomem(err, (out->count + 1) * sizeof *span);
    }
    out->items[out->count++] = *span;
    return RETORT_OK;
}

retort_status rt_tag_aggregate(const rt_tag_label *labels, size_t label_count, const rt_encoding *encoding,
                               const float *logits, size_t text, retort_spans *out, retort_error *err) {
    retort_span *open = NULL;
    int64_t open_type = -1; /* of the run of tokens that goes on, also outside entities */
    double sum = 0;
    size_t tokens = 0;
    for (size_t i = 0; i < encoding->count; i++) {
        if (encoding->words[i] < 0) continue; /* [CLS], [SEP] */
        const float *row = logits + i * label_count;
        size_t best = rt_score_best(row, label_count);
        float score = best_score(row, label_count, best);
        if (labels[best].type == open_type && labels[best].mark != 'B') {
            if (open == NULL) continue;
            open->end = encoding->offsets[2 * i + 1];
            sum += score;
            open->score = (float)(sum / (double)++tokens);
            continue;
        }
        open = NULL;
        open_type = labels[best].type;
        if (labels[best].mark == 'O') continue;
        retort_span span = {.text = text, .label = open_type, .score = score};
        span.start = encoding->offsets[2 * i];
        span.end = encoding->offsets[2 * i + 1];
        retort_status status = append(out, &span, err);
        if (status != RETORT_OK) return status;
        open = &out->items[out->count - 1];
        sum = score;
        tokens = 1;
    }
    return RETORT_OK;
}

/* One run's worth of texts, with the encodings that the spans are made from. */
typedef struct text_group {
    rt_feed feed;
    rt_encoding *encodings;
    size_t capacity, used; /* initialised */
} text_group;

static void group_free(text_group *group) {
    for (size_t i = 0; i < group->used; i++) rt_encoding_free(&group->encodings[i]);
    free(group->encodings);
    rt_feed_free(&group->feed);
}

static retort_status group_add(text_group *group, const rt_tokenizer *tokenizer,
                               const rt_encode_options *options, const retort_text *text, retort_error *err) {
    size_t index = group->feed.n;
    if (!rt_grow((void **)&group->encodings, &group->capacity, index + 1, sizeof *group->encodings)) {
        return rt_fail_nomem(err, (index + 1) * sizeof *group->encodings);
    }
    if (index == group->used) group->encodings[group->used++] = (rt_encoding){0};
    rt_encoding *encoding = &group->encodings[index];
    retort_status status = rt_encode(tokenizer, text, options, encoding, err);
    return status == RETORT_OK ? rt_feed_encoding(&group->feed, encoding, err) : status;
}

/* Spans of the texts first … first + feed.n, which are in the group. */
static retort_status tag_group(retort_session *session, const text_group *group, const retort_text *texts,
                               size_t first, const rt_tag_label *labels, retort_spans *out,
                               retort_error *err) {
    retort_matrix rows;
    retort_status status = rt_feed_run(&group->feed, session, &rows, err);
    for (size_t i = 0; status == RETORT_OK && i < group->feed.n; i++) {
        const float *logits = rows.data + (size_t)group->feed.offsets[i] * rows.columns;
        size_t before = out->count;
        status = rt_tag_aggregate(labels, rows.columns, &group->encodings[i], logits, first + i, out, err);
        const retort_text *text = &texts[first + i];
        if (out->count > before)
            rt_span_bytes(text->text, text->length, out->items + before, out->count - before);
    }
    return status;
}

retort_status rt_tag(retort_session *session, const retort_text *texts, size_t n, retort_spans *out,
                     retort_error *err) {
    const retort_model *model = rt_session_model(session);
    rt_encode_options options = rt_feed_options(session, -1);
    options.words = true;
    text_group group = {0};
    rt_tag_label *labels = rt_tag_labels_new(&model->config);
    retort_status status = labels != NULL ? RETORT_OK : rt_fail_nomem(err, (size_t)model->config.labels);
    out->count = 0;
    for (size_t first = 0, i = 0; status == RETORT_OK && i < n; first = i) {
        rt_feed_clear(&group.feed);
        while (status == RETORT_OK && i < n && group.feed.tokens < RT_FEED_TOKENS) {
            group.feed.text = i;
            status = group_add(&group, model->tokenizer, &options, &texts[i++], err);
        }
        if (status == RETORT_OK) status = tag_group(session, &group, texts, first, labels, out, err);
    }
    free(labels);
    group_free(&group);
    return status;
}
