/* SPDX-License-Identifier: Apache-2.0
 * What labels examples have, and what is odd about them. */
#include "train/examples.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

/* How often each label occurs: [labels]. */
static void count_labels(const rt_examples *examples, size_t labels, size_t *out) {
    bool tags = examples->kind == RT_TARGET_TAGS, table = examples->kind == RT_TARGET_LABELS;
    for (size_t i = 0; examples->kind == RT_TARGET_LABEL && i < examples->count; i++)
        out[examples->items[i].label]++;
    for (size_t i = 0; tags && i < examples->tokens; i++)
        if (examples->tags[i] >= 0) out[examples->tags[i]]++;
    for (size_t i = 0; table && i < examples->count * labels; i++)
        if (examples->targets[i] > 0) out[i % labels]++;
}

retort_status rt_examples_class_weights(const rt_examples *examples, size_t labels, float *out,
                                        retort_error *err) {
    size_t *counts = rt_calloc(labels, sizeof *counts), all = 0, seen = 0;
    if (counts == NULL) return rt_fail_nomem(err, labels * sizeof *counts);
    count_labels(examples, labels, counts);
    for (size_t i = 0; i < labels; i++) {
        all += counts[i];
        seen += counts[i] > 0;
    }
    for (size_t i = 0; i < labels; i++)
        out[i] = counts[i] > 0 ? (float)((double)all / ((double)seen * (double)counts[i])) : 1;
    free(counts);
    return RETORT_OK;
}

/* ---- Checks ---- */

typedef struct check {
    const rt_examples *examples;
    const rt_config *config;
    const rt_tokenizer *tokenizer;
    const retort_dataset *data;
    void (*warning)(void *user, const char *text);
    void *user;
} check;

static void warn(const check *c, const char *text) {
    if (c->warning != NULL) c->warning(c->user, text);
}

static void warn_missing(const check *c, const size_t *counts, size_t labels) {
    char text[512];
    size_t missing = 0, n = 0;
    for (size_t i = 0; i < labels; i++) missing += counts[i] == 0;
    if (missing == 0) return;
    int wrote = snprintf(text, sizeof text, "%.200s: no text has ", c->data->name);
    n = wrote > 0 ? (size_t)wrote : 0;
    for (size_t i = 0, shown = 0; i < labels && n + 100 < sizeof text; i++) {
        if (counts[i] > 0) continue;
        wrote = snprintf(text + n, sizeof text - n, "%s'%.60s'", shown > 0 ? ", " : "label ",
                         c->config->label_names[i]);
        n += wrote > 0 ? (size_t)wrote : 0;
        shown++;
        missing--;
    }
    if (missing > 0) snprintf(text + n, sizeof text - n, " and %zu more", missing);
    warn(c, text);
}

static retort_status check_labels(const check *c, retort_error *err) {
    size_t labels = (size_t)c->config->labels, seen = 0, last = 0;
    size_t *counts = rt_calloc(labels, sizeof *counts);
    if (counts == NULL) return rt_fail_nomem(err, labels * sizeof *counts);
    count_labels(c->examples, labels, counts);
    for (size_t i = 0; i < labels; i++) {
        if (counts[i] == 0) continue;
        seen++;
        last = i;
    }
    bool several = c->examples->kind == RT_TARGET_LABELS;
    retort_status status = RETORT_OK;
    if (seen == 0)
        status =
            rt_fail(err, RETORT_FORMAT, "%s: no text has a label: there is nothing to learn", c->data->name);
    else if (seen == 1 && !several)
        status =
            rt_fail(err, RETORT_FORMAT, "%s: all texts have the label '%.80s': there is nothing to learn",
                    c->data->name, c->config->label_names[last]);
    else
        warn_missing(c, counts, labels);
    free(counts);
    return status;
}

static retort_status check_numbers(const check *c, retort_error *err) {
    const rt_examples *e = c->examples;
    bool table = e->columns > 0, same = e->count > 0;
    float first = table ? e->targets[0] : e->items[0].score;
    for (size_t i = 1; same && i < e->count; i++) same = (table ? e->targets[i] : e->items[i].score) == first;
    if (!same) return RETORT_OK;
    return rt_fail(err, RETORT_FORMAT, "%s: all scores are %g: there is nothing to learn", c->data->name,
                   (double)first);
}

static bool is_blank(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] != ' ' && text[i] != '\t') return false;
    return true;
}

static bool is_utf8(const char *text, size_t length) {
    size_t bad;
    return length == 0 || rt_utf8_valid((const uint8_t *)text, length, &bad);
}

/* A model learns little from "caf\xe9" of another encoding. */
static void warn_bytes(const check *c) {
    char text[512];
    size_t broken = 0, line = 0;
    for (size_t i = 0; i < c->data->count; i++) {
        const rt_sample *sample = &c->data->samples[i];
        bool whole = is_utf8(sample->text.text, sample->text.length) &&
                     is_utf8(sample->text.pair, sample->text.pair_length);
        if (!whole && broken++ == 0) line = sample->line;
    }
    snprintf(text, sizeof text, "%.200s:%zu: the text is not UTF-8%s", c->data->name, line,
             broken > 1 ? "; nor are others" : "");
    if (broken > 0) warn(c, text);
}

/* Refuses data without any text, and warns of what teaches little. */
static retort_status check_texts(const check *c, retort_error *err) {
    char text[512];
    size_t empty = 0, line = 0;
    for (size_t i = 0; i < c->data->count; i++) {
        const rt_sample *sample = &c->data->samples[i];
        bool blank =
            is_blank(sample->text.text, sample->text.length) ||
            (c->examples->kind == RT_TARGET_PAIR && is_blank(sample->text.pair, sample->text.pair_length));
        if (blank && empty++ == 0) line = sample->line;
    }
    if (empty > 0 && empty == c->data->count)
        return rt_fail(err, RETORT_ARGUMENT, "train: %.200s: all %zu texts are empty", c->data->name, empty);
    snprintf(text, sizeof text, "%.200s:%zu: the text is empty%s", c->data->name, line,
             empty > 1 ? "; so are others" : "");
    if (empty > 0) warn(c, text);
    warn_bytes(c);
    rt_token_count tokens = {0};
    rt_count_tokens(&tokens, c->tokenizer, c->examples->ids, c->examples->tokens);
    snprintf(text, sizeof text, "%.200s: the tokenizer does not know %zu of %zu tokens", c->data->name,
             tokens.unknown, tokens.tokens);
    if (rt_many_unknown(&tokens)) warn(c, text);
    snprintf(text, sizeof text, "%.200s: %llu texts are longer than the limit and were cut", c->data->name,
             (unsigned long long)c->examples->truncated);
    if (c->examples->truncated > 0) warn(c, text);
    return RETORT_OK;
}

retort_status rt_examples_check(const rt_examples *examples, const retort_model *model,
                                const retort_dataset *data, void (*warning)(void *user, const char *text),
                                void *user, retort_error *err) {
    const check c = {examples, &model->config, model->tokenizer, data, warning, user};
    bool one = model->config.labels == 1;
    rt_target_kind kind = examples->kind;
    bool numbers = kind == RT_TARGET_VALUE || (kind == RT_TARGET_LABELS && one) ||
                   (kind == RT_TARGET_PAIR && examples->scored);
    bool labels = kind == RT_TARGET_LABEL || kind == RT_TARGET_TAGS || (kind == RT_TARGET_LABELS && !one);
    retort_status status = numbers ? check_numbers(&c, err) : labels ? check_labels(&c, err) : RETORT_OK;
    return status == RETORT_OK ? check_texts(&c, err) : status;
}
