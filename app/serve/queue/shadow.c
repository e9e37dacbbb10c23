/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/queue/shadow.h"
#include "serve/base/metrics.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STAGES = 8, RING = 256 };
/* The alarm looks at the last BLOCK to 2 BLOCK texts, so that it notices texts that change. */
enum { BLOCK = 5000 };
/* It is asked again and again: a bound that is wrong once in twenty times would soon be wrong. */
static const double ALARM_CONFIDENCE = 0.999;

typedef struct sample {
    int32_t *ids, *types; /* one block, malloc'ed: [tokens] each */
    int32_t tokens;
    size_t label; /* that a stage before the full model gave */
} sample;

typedef struct tally {
    uint64_t texts, differ;
} tally;

struct srv_shadow {
    retort_session *full;
    size_t stages, labels;
    retort_stage_kind kinds[MOST_STAGES];
    double epsilon;
    uint64_t below; /* a text is taken if its number, mixed, is below */
    bool types;
    atomic_ullong seen, answered[MOST_STAGES], lost;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t work;
    sample ring[RING];
    size_t first, waiting;
    bool closed;
    tally all, now, before; /* of texts whose answer is known; blocks: see BLOCK */
};

static void note_known(srv_shadow *s, bool differs) {
    s->all.texts++;
    s->all.differ += differs;
    s->now.texts++;
    s->now.differ += differs;
    if (s->now.texts < BLOCK) return;
    s->before = s->now;
    s->now = (tally){0};
}

static size_t best_of(const float *row, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (row[i] > row[best]) best = i;
    }
    return best;
}

/* ---- The thread ---- */

static bool take(srv_shadow *s, sample *out) {
    pthread_mutex_lock(&s->lock);
    while (s->waiting == 0 && !s->closed) pthread_cond_wait(&s->work, &s->lock);
    bool taken = !s->closed;
    if (taken) {
        *out = s->ring[s->first];
        s->first = (s->first + 1) % RING;
        s->waiting--;
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

static void *ask(void *user) {
    srv_shadow *s = user;
    const struct sched_param priority = {0};
    sample next;
    pthread_setschedparam(pthread_self(), SCHED_IDLE, &priority);
    while (take(s, &next)) {
        const int32_t offsets[] = {0, next.tokens};
        const retort_batch batch = {next.ids, s->types ? next.types : NULL, offsets, 1};
        retort_matrix out;
        bool known = retort_run(s->full, &batch, &out, NULL) == RETORT_OK && out.rows == 1;
        bool differs = known && best_of(out.data, out.columns) != next.label;
        free(next.ids);
        if (!known) {
            atomic_fetch_add(&s->lost, 1);
            continue;
        }
        pthread_mutex_lock(&s->lock);
        note_known(s, differs);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

/* ---- Opening ---- */

static retort_status start(srv_shadow *s, retort_model *model, const srv_options *options,
                           retort_error *err) {
    retort_session_options session = RETORT_SESSION_OPTIONS;
    retort_info info = {.size = sizeof info};
    retort_model_info(model, &info);
    s->types = info.types > 0;
    s->labels = (size_t)info.labels;
    if (options->shadow <= 0 || options->no_op) return RETORT_OK;
    session.isa = options->isa;
    session.provider = options->provider;
    session.unpack = options->unpack;
    session.threads = 1;
    retort_model *full = retort_model_stage_model(model, s->stages - 1);
    retort_status status = retort_session_open(&s->full, full, &session, err);
    retort_model_free(full); /* the session has its own reference */
    if (status != RETORT_OK) return status;
    s->below = options->shadow >= 1 ? UINT64_MAX : (uint64_t)(options->shadow * 0x1p64);
    s->started = pthread_create(&s->thread, NULL, ask, s) == 0;
    if (s->started) return RETORT_OK;
    *err = (retort_error){RETORT_NOMEM, "serve: cannot start threads"};
    return RETORT_NOMEM;
}

retort_status srv_shadow_open(srv_shadow **out, retort_model *model, const srv_options *options,
                              retort_error *err) {
    retort_cascade_info info = {.size = sizeof info};
    retort_stage_info stage = {.size = sizeof stage};
    *out = NULL;
    if (retort_model_cascade(model, &info) != RETORT_OK) return RETORT_OK;
    srv_shadow *s = calloc(1, sizeof *s);
    if (s == NULL) {
        *err = (retort_error){RETORT_NOMEM, "serve: out of memory"};
        return RETORT_NOMEM;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    s->stages = info.stages;
    s->epsilon = info.epsilon;
    for (size_t i = 0; i < s->stages; i++) {
        retort_model_stage(model, i, &stage);
        s->kinds[i] = stage.kind;
    }
    retort_status status = start(s, model, options, err);
    if (status == RETORT_OK) {
        *out = s;
    } else {
        srv_shadow_close(s);
    }
    return status;
}

void srv_shadow_close(srv_shadow *s) {
    if (s == NULL) return;
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    if (s->started) pthread_join(s->thread, NULL);
    for (; s->waiting > 0; s->waiting--) {
        free(s->ring[s->first].ids);
        s->first = (s->first + 1) % RING;
    }
    retort_session_close(s->full);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- The sample ---- */

/* SplitMix64 of the number of a text: every one has the same chance, whatever its neighbours. */
static bool is_taken(srv_shadow *s) {
    uint64_t z = (atomic_fetch_add(&s->seen, 1) + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) < s->below;
}

/* A copy of sequence i, for later. False: out of memory. */
static bool copy(sample *out, const srv_shadow *s, const retort_batch *batch, size_t i, const float *row) {
    size_t at = (size_t)batch->offsets[i], n = (size_t)batch->offsets[i + 1] - at;
    *out = (sample){.ids = calloc(2 * n + 1, sizeof *out->ids), .tokens = (int32_t)n};
    if (out->ids == NULL) return false;
    out->types = out->ids + n;
    memcpy(out->ids, batch->ids + at, n * sizeof *out->ids);
    if (batch->types != NULL) memcpy(out->types, batch->types + at, n * sizeof *out->types);
    out->label = best_of(row, s->labels);
    return true;
}

/* What the full model answered agrees with it. Where the ring has no room, nothing is noted, so that these do not count more
 * than others. */
static void note_sample(srv_shadow *s, const retort_batch *batch, size_t i, const float *row, size_t stage) {
    sample next;
    bool noted = false;
    if (pthread_mutex_trylock(&s->lock) != 0) {
        atomic_fetch_add(&s->lost, 1);
        return;
    }
    if (s->waiting < RING && stage + 1 == s->stages) {
        note_known(s, false);
        noted = true;
    } else if (s->waiting < RING && copy(&next, s, batch, i, row)) {
        s->ring[(s->first + s->waiting++) % RING] = next;
        pthread_cond_signal(&s->work);
        noted = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (!noted) atomic_fetch_add(&s->lost, 1);
}

void srv_shadow_note(srv_shadow *s, const retort_batch *batch, const retort_matrix *out, const uint8_t *by) {
    uint64_t counts[MOST_STAGES] = {0};
    for (size_t i = 0; i < out->rows; i++) {
        counts[by[i]]++;
        if (s->full != NULL && is_taken(s)) note_sample(s, batch, i, out->data + i * out->columns, by[i]);
    }
    for (size_t i = 0; i < s->stages; i++) atomic_fetch_add(&s->answered[i], counts[i]);
}

/* ---- Metrics ---- */

static const char *kind_name(retort_stage_kind kind) {
    static const char *const names[] = {
        [RETORT_STAGE_LINEAR] = "linear", [RETORT_STAGE_STUDENT] = "student", [RETORT_STAGE_FULL] = "full"};
    return names[kind];
}

static tally read_tally(srv_shadow *s, tally *recent) {
    pthread_mutex_lock(&s->lock);
    tally all = s->all;
    *recent = (tally){s->now.texts + s->before.texts, s->now.differ + s->before.differ};
    pthread_mutex_unlock(&s->lock);
    return all;
}

static unsigned long long shadow_texts(srv_shadow *s) {
    tally recent;
    return read_tally(s, &recent).texts;
}

static unsigned long long shadow_differ(srv_shadow *s) {
    tally recent;
    return read_tally(s, &recent).differ;
}

static unsigned long long shadow_lost(srv_shadow *s) {
    return atomic_load(&s->lost);
}

static unsigned long long shadow_alarm(srv_shadow *s) {
    tally recent;
    double least;
    read_tally(s, &recent);
    retort_binomial(recent.differ, recent.texts, ALARM_CONFIDENCE, &least, NULL);
    return least > s->epsilon; /* NaN: no texts yet */
}

static const struct row {
    const char *name, *type, *help;
    unsigned long long (*value)(srv_shadow *s);
} rows[] = {
    {"retort_cascade_shadow_total", "counter", "sampled texts of cascades whose full model's answer is known",
     shadow_texts},
    {"retort_cascade_shadow_disagree_total", "counter", "of them, those it answers differently",
     shadow_differ},
    {"retort_cascade_shadow_lost_total", "counter", "sampled texts that it could not be asked about",
     shadow_lost},
    {"retort_cascade_alarm", "gauge",
     "1 if the 99.9 % lower bound of recent disagreement is above epsilon: calibrate again", shadow_alarm},
};

void srv_shadow_print(srv_out *out, srv_shadow *const *shadows, const char *const *names, size_t n) {
    bool any = false;
    for (size_t i = 0; i < n; i++) any = any || shadows[i] != NULL;
    if (!any) return;
    srv_metrics_head(out, "retort_cascade_answers_total", "counter", "texts answered by each stage");
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; shadows[i] != NULL && k < shadows[i]->stages; k++)
            srv_out_format(out, "retort_cascade_answers_total{model=\"%s\",stage=\"%zu\",kind=\"%s\"} %llu\n",
                           names[i], k + 1, kind_name(shadows[i]->kinds[k]),
                           atomic_load(&shadows[i]->answered[k]));
    }
    srv_metrics_head(out, "retort_cascade_epsilon", "gauge", "share of answers that may differ");
    for (size_t i = 0; i < n; i++) {
        if (shadows[i] != NULL)
            srv_out_format(out, "retort_cascade_epsilon{model=\"%s\"} %.9g\n", names[i], shadows[i]->epsilon);
    }
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        srv_metrics_head(out, rows[k].name, rows[k].type, rows[k].help);
        for (size_t i = 0; i < n; i++) {
            if (shadows[i] != NULL)
                srv_out_format(out, "%s{model=\"%s\"} %llu\n", rows[k].name, names[i],
                               rows[k].value(shadows[i]));
        }
    }
}
