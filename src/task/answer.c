/* SPDX-License-Identifier: Apache-2.0
 * Extractive question answering as in the pipeline of transformers 4.57: overlapping windows of the context,
 * the best pairs of start and end in each, scores of the same text added up, then the best of all. */
#include "task/feed.h"
#include "task/task.h"
#include "text/unicode.h"
#include "base/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Windows ---- */

/* The bytes of the question covered by its first `most` tokens. */
static retort_status cut_question(const rt_tokenizer *tokenizer, const rt_encode_options *options,
                                  int64_t most, retort_text *text, retort_error *err) {
    rt_encoding encoding = {0};
    rt_encode_options encode = *options;
    retort_text question = {.text = text->text, .length = text->length};
    encode.max_length = (size_t)most;
    encode.no_special = true;
    encode.truncation = RT_LONGEST_FIRST;
    retort_status status = rt_encode(tokenizer, &question, &encode, &encoding, err);
    if (status == RETORT_OK && encoding.count == (size_t)most) {
        retort_span span = {.end = encoding.offsets[2 * encoding.count - 1]};
        rt_span_bytes(text->text, text->length, &span, 1);
        text->length = span.byte_end;
    }
    rt_encoding_free(&encoding);
    return status;
}

/* Tokens of a window and tokens of overlap. */
static retort_status set_windows(const rt_config *config, const retort_answer_options *options,
                                 rt_encode_options *encode, retort_error *err) {
    if (options->window > config->positions)
        return rt_fail(err, RETORT_ARGUMENT, "answer: windows of %lld tokens: the model takes at most %lld",
                       (long long)options->window, (long long)config->positions);
    encode->max_length =
        options->window > 0 ? (size_t)options->window : rt_min(encode->max_length, RT_ANSWER_WINDOW);
    encode->stride = rt_min(encode->max_length / 2, RT_ANSWER_STRIDE);
    if (options->stride >= 0) encode->stride = (size_t)options->stride;
    if (encode->stride >= encode->max_length)
        return rt_fail(err, RETORT_ARGUMENT,
                       "answer: windows of %zu tokens with a stride of %zu do not advance",
                       encode->max_length, encode->stride);
    return RETORT_OK;
}

retort_status rt_answer_windows(const retort_model *model, rt_encode_options encode, const retort_text *text,
                                const retort_answer_options *options, retort_windows *out,
                                retort_error *err) {
    retort_text asked = *text;
    retort_status status = set_windows(&model->config, options, &encode, err);
    encode.truncation = RT_ONLY_SECOND;
    encode.words = true;
    if (status == RETORT_OK && options->question > 0)
        status = cut_question(model->tokenizer, &encode, options->question, &asked, err);
    if (status != RETORT_OK) return status;
    return rt_encode_windows(model->tokenizer, &asked, &encode, RT_ANSWER_WINDOWS, &out->items, &out->count,
                             err);
}

/* ---- The best pairs of a window ---- */

static bool in_context(const rt_encoding *window, size_t token) {
    return window->types[token] == 1 && window->words[token] >= 0;
}

/* Largest logit and Σ exp(logit - largest) of one column over the tokens that take part in the softmax: the
 * context and the first token. */
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

/* Inserts a pair among the best, after equally good ones. */
static void keep(rt_answers *answers, rt_candidate pair) {
    rt_candidate *best = answers->best;
    if (answers->kept == answers->most && pair.score <= best[answers->most - 1].score) return;
    size_t at = answers->kept < answers->most ? answers->kept++ : answers->most - 1;
    for (; at > 0 && best[at - 1].score < pair.score; at--) best[at] = best[at - 1];
    best[at] = pair;
}

/* The largest sums of two logits, which are the largest products of scores. */
static void find_best(rt_answers *answers, const rt_encoding *window, const float *logits) {
    int64_t longest = answers->options->longest > 0 ? answers->options->longest : RT_ANSWER_LONGEST;
    answers->kept = 0;
    for (size_t i = 0; i < window->count; i++) {
        if (!in_context(window, i)) continue;
        for (size_t j = i; j < window->count && j - i < (size_t)longest && in_context(window, j); j++)
            keep(answers, (rt_candidate){(double)logits[2 * i] + logits[2 * j + 1], i, j});
    }
}

/* ---- Answers of all windows ---- */

/* Advances from code point *point at *byte to `wanted`, which is not before it. */
static void advance(const rt_answers *answers, uint32_t wanted, uint32_t *point, uint32_t *byte) {
    const uint8_t *at = (const uint8_t *)answers->context + *byte, *from = at;
    const uint8_t *end = (const uint8_t *)answers->context + answers->length;
    for (uint32_t unused; *point < wanted && at < end; ++*point) at += rt_utf8_take(at, end, &unused);
    *byte += (uint32_t)(at - from);
}

/* The code point at *at in lower case; moves *at past it. */
static uint32_t lower_point(const uint8_t **at, const uint8_t *end) {
    uint32_t point;
    *at += rt_utf8_take(*at, end, &point);
    return point + (uint32_t)rt_unicode(point)->lower;
}

/* Hash of the text of the span in lower case. The caller chooses the context, but not the key. */
static uint64_t hash_of(const rt_answers *answers, const retort_span *span) {
    const uint8_t *at = (const uint8_t *)answers->context + span->byte_start;
    const uint8_t *end = (const uint8_t *)answers->context + span->byte_end;
    rt_hash_state state = rt_hash_begin(answers->key);
    while (at < end) rt_hash_word(&state, lower_point(&at, end));
    return rt_hash_finish(state, 0, 0);
}

static bool same_text(const rt_answers *answers, const retort_span *a, const retort_span *b) {
    const uint8_t *text = (const uint8_t *)answers->context;
    const uint8_t *left = text + a->byte_start, *right = text + b->byte_start;
    while (left < text + a->byte_end && right < text + b->byte_end) {
        if (lower_point(&left, text + a->byte_end) != lower_point(&right, text + b->byte_end)) return false;
    }
    return left == text + a->byte_end && right == text + b->byte_end;
}

/* The slot of an answer, or the free slot where it belongs. */
static uint32_t *slot_of(const rt_answers *answers, uint64_t hash, const retort_span *span) {
    for (size_t at = hash;; at++) {
        uint32_t *slot = &answers->slots[at & (answers->slot_count - 1)];
        if (*slot == 0) return slot;
        const rt_answer *answer = &answers->items[*slot - 1];
        if (span != NULL && answer->hash == hash && same_text(answers, &answer->span, span)) return slot;
    }
}

/* Makes room for one more answer. */
static bool grow(rt_answers *answers) {
    if (!rt_grow((void **)&answers->items, &answers->capacity, answers->count + 1, sizeof *answers->items))
        return false;
    if (2 * (answers->count + 1) <= answers->slot_count) return true;
    size_t count = answers->slot_count > 0 ? 2 * answers->slot_count : 64;
    uint32_t *slots = rt_calloc(count, sizeof *slots);
    if (slots == NULL) return false;
    free(answers->slots);
    answers->slots = slots;
    answers->slot_count = count;
    for (size_t i = 0; i < answers->count; i++)
        *slot_of(answers, answers->items[i].hash, NULL) = (uint32_t)i + 1;
    return true;
}

/* The answer with the text of the span, added if necessary; NULL: out of memory. */
static rt_answer *answer_of(rt_answers *answers, const retort_span *span) {
    if (!grow(answers)) return NULL;
    uint64_t hash = hash_of(answers, span);
    uint32_t *slot = slot_of(answers, hash, span);
    if (*slot == 0) {
        answers->items[answers->count] = (rt_answer){*span, 0, hash, answers->count};
        *slot = (uint32_t)++answers->count;
    }
    return &answers->items[*slot - 1];
}

/* Widens [first, last] to whole words of the context. */
static void widen(const rt_encoding *window, size_t *first, size_t *last) {
    const int32_t *words = window->words;
    size_t from = *first, to = *last;
    while (from > 0 && in_context(window, from - 1) && words[from - 1] == words[*first]) from--;
    while (to + 1 < window->count && in_context(window, to + 1) && words[to + 1] == words[*last]) to++;
    *first = from;
    *last = to;
}

/* Adds the score of a pair to the answer with the same text, or to a new one. */
static retort_status add_answer(rt_answers *answers, const rt_encoding *window, const rt_candidate *pair,
                                double score, retort_error *err) {
    size_t first = pair->first, last = pair->last;
    if (!answers->options->pieces) widen(window, &first, &last);
    retort_span span = {
        .label = -1, .piece = -1, .start = window->offsets[2 * first], .end = window->offsets[2 * last + 1]};
    uint32_t point = answers->point;
    span.byte_start = answers->byte;
    advance(answers, span.start, &point, &span.byte_start);
    span.byte_end = span.byte_start;
    advance(answers, span.end, &point, &span.byte_end);
    rt_answer *answer = answer_of(answers, &span);
    if (answer == NULL) return rt_fail_nomem(err, (answers->count + 1) * sizeof *answers->items);
    answer->score += score;
    return RETORT_OK;
}

retort_status rt_answers_add(rt_answers *answers, const rt_encoding *window, const float *logits,
                             retort_error *err) {
    double start_most, end_most;
    double sums = column_sum(window, logits, &start_most) * column_sum(window, logits + 1, &end_most);
    double none = exp((double)logits[0] + logits[1] - start_most - end_most) / sums;
    answers->min_null = fmin(answers->min_null, none);
    find_best(answers, window, logits);
    retort_status status = RETORT_OK;
    for (size_t i = 0; i < window->count; i++) { /* windows start in ascending order */
        if (!in_context(window, i)) continue;
        advance(answers, window->offsets[2 * i], &answers->point, &answers->byte);
        break;
    }
    for (size_t i = 0; status == RETORT_OK && i < answers->kept; i++) {
        const rt_candidate *pair = &answers->best[i];
        double score = exp(pair->score - start_most - end_most) / sums;
        status = add_answer(answers, window, pair, score, err);
    }
    return status;
}

retort_status rt_answers_open(rt_answers *answers, const retort_answer_options *options, const char *context,
                              size_t length, retort_error *err) {
    size_t top = options->top > 0 ? options->top : 1;
    *answers = (rt_answers){.options = options,
                            .context = context,
                            .length = length,
                            .key = rt_hash_key_new(),
                            .min_null = INFINITY};
    answers->most = options->pieces ? top : 2 * top + 10; /* some have the same text */
    answers->best = rt_calloc(answers->most, sizeof *answers->best);
    return answers->best != NULL ? RETORT_OK : rt_fail_nomem(err, answers->most * sizeof *answers->best);
}

void rt_answers_close(rt_answers *answers) {
    free(answers->items);
    free(answers->slots);
    free(answers->best);
}

/* Best first; ties in the order they were found. */
static int by_score(const void *left, const void *right) {
    const rt_answer *a = left, *b = right;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static retort_status give(retort_spans *out, const retort_span *span, double score, retort_error *err) {
    if (!rt_grow((void **)&out->items, &out->capacity, out->count + 1, sizeof *span))
        return rt_fail_nomem(err, (out->count + 1) * sizeof *span);
    out->items[out->count] = *span;
    out->items[out->count++].score = (float)score;
    return RETORT_OK;
}

retort_status rt_answers_take(rt_answers *answers, retort_spans *out, retort_error *err) {
    static const retort_span nothing = {.label = -1, .piece = -1};
    size_t top = answers->options->top > 0 ? answers->options->top : 1;
    bool none = answers->options->impossible;
    retort_status status = RETORT_OK;
    out->count = 0;
    if (answers->count > 0) qsort(answers->items, answers->count, sizeof *answers->items, by_score);
    for (size_t i = 0; status == RETORT_OK && out->count < top; i++) {
        const rt_answer *best = i < answers->count ? &answers->items[i] : NULL;
        if (none && (best == NULL || answers->min_null > best->score)) {
            status = give(out, &nothing, answers->min_null, err);
            none = false;
            i--;
        } else if (best != NULL) {
            status = give(out, &best->span, best->score, err);
        } else if (out->count == 0) {
            status = give(out, &nothing, 0, err);
        } else {
            break;
        }
    }
    return status;
}

/* A few windows at a time: a long context needs no more memory than a short one. */
static retort_status answer_from(retort_session *session, const rt_encoding *windows, size_t count,
                                 rt_feed *feed, rt_answers *answers, retort_error *err) {
    for (size_t i = 0; i < count;) {
        retort_matrix rows;
        retort_status status = RETORT_OK;
        size_t first = i;
        rt_feed_clear(feed);
        while (status == RETORT_OK && i < count && feed->tokens < RT_FEED_TOKENS) {
            status = rt_feed_encoding(feed, &windows[i++], err);
        }
        if (status == RETORT_OK) status = rt_feed_run(feed, session, &rows, err);
        for (size_t w = 0; status == RETORT_OK && w < feed->n; w++) {
            const float *logits = rows.data + 2 * (size_t)feed->offsets[w];
            status = rt_answers_add(answers, &windows[first + w], logits, err);
        }
        if (status != RETORT_OK) return status;
    }
    return RETORT_OK;
}

retort_status rt_answer_text(retort_session *session, const retort_text *text,
                             const retort_answer_options *options, retort_spans *out, retort_error *err) {
    rt_feed feed = {0};
    retort_windows own = {0};
    const retort_windows *windows = options->windows != NULL ? options->windows : &own;
    rt_answers answers;
    retort_status status = rt_answers_open(&answers, options, text->pair, text->pair_length, err);
    if (status == RETORT_OK && windows == &own)
        status = rt_answer_windows(rt_session_model(session), rt_feed_options(session, -1), text, options,
                                   &own, err);
    if (status == RETORT_OK)
        status = answer_from(session, windows->items, windows->count, &feed, &answers, err);
    if (status == RETORT_OK) status = rt_answers_take(&answers, out, err);
    rt_windows_clear(&own);
    rt_answers_close(&answers);
    rt_feed_free(&feed);
    return status;
}
