/* SPDX-License-Identifier: Apache-2.0 */
#include "run/stages.h"

#include "engine/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct rt_stages {
    const retort_model *model; /* the cascade */
    const rt_provider *provider;
    void *states[RT_MOST_STAGES + 1]; /* of the provider; NULL: a stage on n-grams */
    rt_limits limits;
    /* Of the last run. */
    float *out;        /* [n, labels] */
    uint8_t *by;       /* [n] the stage of each row */
    uint32_t *waiting; /* [n] sequences that have no answer yet, in order */
    size_t out_capacity, by_capacity, waiting_capacity;
    /* The batch of a stage: the sequences that wait. */
    int32_t *ids, *types, *offsets;
    size_t id_capacity, type_capacity, offset_capacity;
    float *row;    /* [labels] of a sequence */
    int32_t *sums; /* [labels] */
};

void rt_stages_close(rt_stages *s) {
    if (s == NULL) return;
    for (size_t i = 0; i <= RT_MOST_STAGES; i++) {
        if (s->states[i] != NULL) s->provider->close(s->states[i]);
    }
    free(s->out);
    free(s->by);
    free(s->waiting);
    free(s->ids);
    free(s->types);
    free(s->offsets);
    free(s->row);
    free(s->sums);
    free(s);
}

static retort_status open_stages(rt_stages *s, const retort_session_options *options, retort_error *err) {
    const rt_cascade *cascade = s->model->cascade;
    const rt_config *config = &s->model->config;
    s->limits = (rt_limits){.vocab = config->vocab,
                            .types = config->types,
                            .positions = config->positions,
                            .position_offset = config->position_offset,
                            .after_pad = config->after_pad != 0,
                            .may_be_empty = config->arch == &rt_arch_static};
    s->row = rt_calloc((size_t)config->labels, sizeof *s->row);
    s->sums = rt_calloc((size_t)config->labels, sizeof *s->sums);
    if (s->row == NULL || s->sums == NULL) return rt_fail_nomem(err, (size_t)config->labels * sizeof *s->row);
    retort_status status = RETORT_OK;
    for (size_t i = 0; status == RETORT_OK && i <= cascade->count; i++) {
        const retort_model *model = i < cascade->count ? cascade->stages[i].model : rt_cascade_full(s->model);
        if (model != NULL) status = s->provider->open(s->provider, &s->states[i], model, options, err);
    }
    return status;
}

retort_status rt_stages_open(rt_stages **out, const retort_model *model, const rt_provider *provider,
                             const retort_session_options *options, retort_error *err) {
    if (options->tap != NULL)
        return rt_fail(
            err, RETORT_UNSUPPORTED,
            "tap: the model is a cascade, and each of its stages has layers of its own: tap the model of one "
            "stage (eval --per-layer)");
    if (options->onnx != NULL)
        return rt_fail(err, RETORT_UNSUPPORTED, "onnx: the model is a cascade: no export has all its stages");
    rt_stages *s = rt_calloc(1, sizeof *s);
    if (s == NULL) return rt_fail_nomem(err, sizeof *s);
    s->model = model;
    s->provider = provider;
    retort_status status = open_stages(s, options, err);
    if (status == RETORT_OK) {
        *out = s;
    } else {
        rt_stages_close(s);
    }
    return status;
}

/* Room for the results of a batch, and all of it as the batch of a stage. */
static retort_status reserve(rt_stages *s, const rt_batch *batch, retort_error *err) {
    size_t n = batch->n, tokens = n > 0 ? (size_t)batch->offsets[n] : 0, floats;
    if (n > UINT32_MAX || !rt_mul(rt_max(n, 1), (size_t)s->model->config.labels, &floats))
        return rt_fail(err, RETORT_LIMIT, "batch: %zu sequences are too many", n);
    bool fits = rt_grow((void **)&s->out, &s->out_capacity, floats, sizeof *s->out) &&
                rt_grow((void **)&s->by, &s->by_capacity, rt_max(n, 1), sizeof *s->by) &&
                rt_grow((void **)&s->waiting, &s->waiting_capacity, n, sizeof *s->waiting) &&
                rt_grow((void **)&s->ids, &s->id_capacity, tokens, sizeof *s->ids) &&
                rt_grow((void **)&s->types, &s->type_capacity, tokens, sizeof *s->types) &&
                rt_grow((void **)&s->offsets, &s->offset_capacity, n + 1, sizeof *s->offsets);
    return fits ? RETORT_OK : rt_fail_nomem(err, floats * sizeof *s->out);
}

/* The sequences that wait, as a batch. */
static rt_batch gather(rt_stages *s, const rt_batch *batch, size_t waiting) {
    int32_t at = 0;
    if (waiting == batch->n) return *batch;
    s->offsets[0] = 0;
    for (size_t i = 0; i < waiting; i++) {
        size_t from = (size_t)batch->offsets[s->waiting[i]], length = rt_batch_length(batch, s->waiting[i]);
        memcpy(s->ids + at, batch->ids + from, length * sizeof *s->ids);
        if (batch->types != NULL) memcpy(s->types + at, batch->types + from, length * sizeof *s->types);
        at += (int32_t)length;
        s->offsets[i + 1] = at;
    }
    return (rt_batch){
        .ids = s->ids, .types = batch->types != NULL ? s->types : NULL, .offsets = s->offsets, .n = waiting};
}

static void answer(rt_stages *s, size_t sequence, size_t stage, const float *logits) {
    size_t labels = (size_t)s->model->config.labels;
    memcpy(s->out + sequence * labels, logits, labels * sizeof *logits);
    s->by[sequence] = (uint8_t)stage;
}

/* Whether the stage answers: the full model always does. A NaN is not sure. */
static bool is_sure(const rt_stages *s, size_t stage, const float *logits) {
    const rt_cascade *cascade = s->model->cascade;
    return stage == cascade->count || rt_cascade_sureness(logits, (size_t)s->model->config.labels, NULL) >=
                                          cascade->stages[stage].threshold;
}

/* Runs the stage on the n sequences that wait; returns how many still do. */
static retort_status run_stage(rt_stages *s, size_t stage, const rt_batch *batch, size_t *n,
                               retort_error *err) {
    const rt_cascade *cascade = s->model->cascade;
    rt_batch own = {0};
    retort_matrix rows = {.columns = (size_t)s->model->config.labels};
    if (s->states[stage] != NULL) {
        own = gather(s, batch, *n);
        retort_status status = s->provider->run(s->states[stage], &own, &rows, err);
        if (status != RETORT_OK) return status;
    }
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        size_t sequence = s->waiting[i];
        const float *logits = s->row;
        if (rows.data != NULL) {
            logits = rows.data + i * rows.columns;
        } else {
            rt_ngrams_run(&cascade->stages[stage].ngrams, batch->ids + batch->offsets[sequence],
                          rt_batch_length(batch, sequence), s->sums, s->row);
        }
        if (is_sure(s, stage, logits)) {
            answer(s, sequence, stage, logits);
        } else {
            s->waiting[kept++] = (uint32_t)sequence;
        }
    }
    *n = kept;
    return RETORT_OK;
}

retort_status rt_stages_run(rt_stages *s, const rt_batch *batch, retort_matrix *out, retort_error *err) {
    size_t waiting = batch->n;
    retort_status status = rt_batch_check(batch, &s->limits, err);
    if (status == RETORT_OK) status = reserve(s, batch, err);
    for (size_t i = 0; status == RETORT_OK && i < waiting; i++) s->waiting[i] = (uint32_t)i;
    for (size_t stage = 0; status == RETORT_OK && waiting > 0 && stage <= s->model->cascade->count; stage++)
        status = run_stage(s, stage, batch, &waiting, err);
    if (status == RETORT_OK)
        *out = (retort_matrix){.data = s->out, .rows = batch->n, .columns = (size_t)s->model->config.labels};
    return status;
}

const uint8_t *rt_stages_answered_by(const rt_stages *stages) {
    return stages->by;
}

void *rt_stages_full(const rt_stages *stages) {
    return stages->states[stages->model->cascade->count];
}

void rt_stages_describe(const rt_stages *s, retort_session_info *info) {
    for (size_t i = 0; i < s->model->cascade->count; i++) {
        retort_session_info own = {0};
        if (s->states[i] == NULL) continue;
        s->provider->describe(s->states[i], &own);
        info->arena_bytes += own.arena_bytes;
        info->int8_bytes += own.int8_bytes;
        info->unpacked_bytes += own.unpacked_bytes;
    }
}
