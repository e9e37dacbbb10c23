/* SPDX-License-Identifier: Apache-2.0
 * Zero-shot classification of POST /: each text is paired with one hypothesis per candidate label; the answer
 * has the form of transformers' pipeline. */
#include "serve/wire/zero.h"
#include "retort.h"
#include "serve/base/json.h"
#include "serve/base/memory.h"
#include "serve/base/out.h"
#include "serve/queue/service.h"
#include "serve/wire/ask.h"
#include "serve/wire/errors.h"
#include "serve/wire/write.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void add_label(srv_call *call, const char *text, size_t length) {
    call->ask.labels[call->ask.label_count++] = (srv_slice){text, length};
}

/* Splits a string at commas into labels, without surrounding space. */
static void split_labels(srv_call *call, const char *at, const char *end) {
    while (at <= end) {
        const char *comma = at < end ? memchr(at, ',', (size_t)(end - at)) : NULL, *to;
        if (comma == NULL) comma = end;
        for (to = comma; at < to && is_blank(to[-1]);) to--;
        while (at < to && is_blank(*at)) at++;
        if (at < to) add_label(call, at, (size_t)(to - at));
        at = comma + 1;
    }
}

static bool read_labels(srv_call *call) {
    const srv_json *list = call->ask.candidates;
    size_t max = list->kind == SRV_STRING ? list->length / 2 + 1 : list->count;
    if (!srv_call_charge(call, max * sizeof *call->ask.labels)) return false;
    call->ask.labels = calloc(max + 1, sizeof *call->ask.labels);
    if (call->ask.labels == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    if (list->kind == SRV_STRING) split_labels(call, list->text, list->text + list->length);
    for (size_t i = 0; list->kind == SRV_ARRAY && i < max; i++) { /* strings have consecutive values */
        const srv_json *label = srv_json_first(list) + i;
        add_label(call, label->text, label->length);
    }
    if (call->ask.label_count > 0) return true;
    return srv_call_fail(call, SRV_ERROR_INVALID, "parameters.candidate_labels: expected at least one label");
}

/* Appends the hypothesis of a label. The size for all pairs is bounded, as a few bytes of a body may
 * request many; the bound leaves room for the largest number of pairs. */
static bool add_hypothesis(srv_call *call, const srv_slice *label) {
    enum { MOST = 16 << 20 };
    const srv_slice *form = &call->ask.hypothesis;
    retort_error err = {0};
    size_t length = 0;
    srv_out *made = &call->ask.made;
    retort_status status =
        retort_hypothesis(form->text, form->length, label->text, label->length, NULL, 0, &length, &err);
    if (status == RETORT_LIMIT && made->length + length > MOST / call->ask.count)
        return srv_call_fail(call, SRV_ERROR_INVALID,
                             "parameters.hypothesis_template: the hypotheses of all pairs exceed %d bytes",
                             MOST);
    if (status == RETORT_LIMIT && srv_out_reserve(made, length)) {
        status = retort_hypothesis(form->text, form->length, label->text, label->length,
                                   made->data + made->length, length, &length, &err);
        made->length += length;
    }
    if (status == RETORT_OK) return true;
    if (made->failed) return srv_call_no_memory(call, made->over);
    if (status == RETORT_ARGUMENT)
        return srv_call_fail(call, SRV_ERROR_INVALID, "parameters.hypothesis_template: %s", err.text);
    return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
}

static bool check_pairs(srv_call *call) {
    size_t labels = call->ask.label_count;
    size_t texts = call->ask.count, max = (size_t)call->service->options->items;
    if (labels <= max / texts) return true;
    return srv_call_fail(call, SRV_ERROR_INVALID,
                         "%zu texts times %zu candidate_labels exceed max_client_batch_size, which is %zu",
                         texts, labels, max);
}

/* Replaces the texts with pairs of every text and every hypothesis. */
static bool make_pairs(srv_call *call, const size_t *ends) {
    srv_ask *ask = &call->ask;
    size_t texts = ask->count, labels = ask->label_count;
    if (!srv_call_charge(call, texts * labels * sizeof(retort_text))) return false;
    retort_text *pairs = calloc(texts * labels + 1, sizeof *pairs);
    if (pairs == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; i < texts * labels; i++) {
        size_t label = i % labels, from = label > 0 ? ends[label - 1] : 0;
        const char *made = ask->made.length > 0 ? ask->made.data + from : "";
        pairs[i] = ask->texts[i / labels];
        pairs[i].pair = made;
        pairs[i].pair_length = ends[label] - from;
    }
    free(ask->texts);
    ask->texts = pairs;
    ask->count = ask->capacity = texts * labels;
    return true;
}

bool srv_zero_read(srv_call *call) {
    for (size_t i = 0; i < call->ask.count; i++) {
        if (call->ask.texts[i].pair != NULL)
            return srv_call_fail(
                call, SRV_ERROR_INVALID,
                "inputs: expected single texts: with candidate_labels the hypothesis is the second text");
    }
    if (call->ask.count == 0 || !read_labels(call) || !check_pairs(call)) return !call->failed;
    call->ask.made = (srv_out){.memory = call->service->options->budget, .use = SRV_USE_INPUTS};
    if (!srv_call_charge(call, call->ask.label_count * sizeof(size_t))) return false;
    size_t *ends = calloc(call->ask.label_count, sizeof *ends);
    bool fine = true;
    if (ends == NULL) return srv_call_fail(call, SRV_ERROR_INTERNAL, "out of memory");
    for (size_t i = 0; fine && i < call->ask.label_count; i++) {
        fine = add_hypothesis(call, &call->ask.labels[i]);
        ends[i] = call->ask.made.length;
    }
    fine = fine && make_pairs(call, ends);
    free(ends);
    return fine;
}

/* ---- Writing ---- */

static void write_labels(srv_call *call, const uint32_t *order) {
    srv_out *out = &call->answer;
    for (size_t i = 0; i < call->ask.label_count; i++) {
        const srv_slice *label = &call->ask.labels[order[i]];
        if (i > 0) srv_out_text(out, ",");
        srv_out_string(out, label->text, label->length);
    }
}

/* The scores of text i; false: failed. */
static bool score(srv_call *call, size_t text, float *logits, float *scores) {
    size_t n = call->ask.label_count, columns = (size_t)call->engine->info.labels;
    retort_error err = {0};
    for (size_t i = 0; i < n; i++)
        memcpy(logits + i * columns, srv_values(call, text * n + i), columns * sizeof *logits);
    retort_status status =
        retort_zero_shot_scores(call->engine->model, logits, n, call->ask.multi_label, scores, &err);
    return status == RETORT_OK || srv_call_fail(call, SRV_ERROR_INVALID, "%s", err.text);
}

/* In the form of transformers' pipeline. */
static void write_object(srv_call *call, size_t text, const float *scores, const uint32_t *order) {
    srv_out *out = &call->answer;
    size_t n = call->ask.label_count;
    srv_out_text(out, "{\"sequence\":");
    srv_out_string(out, call->ask.texts[text * n].text, call->ask.texts[text * n].length);
    srv_out_text(out, ",\"labels\":[");
    write_labels(call, order);
    srv_out_text(out, "],\"scores\":[");
    for (size_t k = 0; k < n; k++) {
        if (k > 0) srv_out_text(out, ",");
        srv_out_real(out, (double)scores[order[k]]);
    }
    srv_out_text(out, "]}");
}

/* In the form of Hugging Face's inference API, which huggingface_hub reads. */
static void write_list(srv_call *call, size_t text, const float *scores, const uint32_t *order) {
    srv_out *out = &call->answer;
    (void)text;
    srv_out_text(out, "[");
    for (size_t k = 0; k < call->ask.label_count; k++) {
        const srv_slice *label = &call->ask.labels[order[k]];
        srv_out_text(out, k > 0 ? ",{\"label\":" : "{\"label\":");
        srv_out_string(out, label->text, label->length);
        srv_out_text(out, ",\"score\":");
        srv_out_real(out, (double)scores[order[k]]);
        srv_out_text(out, "}");
    }
    srv_out_text(out, "]");
}

/* One text per part. */
void srv_zero_write(srv_call *call) {
    size_t n = call->ask.label_count, text = call->writing.part;
    srv_out *out = &call->answer;
    if (!srv_ranking_open(call, n * (1 + (size_t)call->engine->info.labels))) return;
    float *scores = call->writing.scores;
    uint32_t *order = call->writing.order;
    if (text == 0 && !call->ask.single) srv_out_text(out, "[");
    if (text == call->ask.count / n) {
        if (!call->ask.single) srv_out_text(out, "]");
        return;
    }
    if (!score(call, text, scores + n, scores)) return;
    retort_best(scores, n, order, n);
    if (text > 0) srv_out_text(out, ",");
    (call->ask.listed ? write_list : write_object)(call, text, scores, order);
    srv_more(call);
}
