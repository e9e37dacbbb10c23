/* SPDX-License-Identifier: Apache-2.0
 * Cross entropy with the answers of the full model, by AdaGrad (Duchi et al. 2011): the step of a weight shrinks with the
 * gradients it had, so that rare n-grams learn as fast as frequent ones. */
#include "cascade/fit.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCHS = 10 };
static const float RATE = 0.5F;
static const float LEAST =
    1e-6F; /* added to the sum of squares: the first step of a weight is RATE at most */

typedef struct learner {
    const rt_fit *fit;
    size_t buckets;
    float *weights, *squares;             /* [buckets, labels] */
    float *biases, *bias_squares, *probs; /* [labels] */
    size_t *rows;                         /* [most n-grams] where the weights of a text's n-grams are */
    uint32_t *order;                      /* [n] */
} learner;

static void learner_close(learner *l) {
    free(l->weights);
    free(l->squares);
    free(l->biases);
    free(l->bias_squares);
    free(l->probs);
    free(l->rows);
    free(l->order);
}

static retort_status learner_open(learner *l, const rt_fit *fit, retort_error *err) {
    size_t labels = fit->labels, longest = 1;
    *l = (learner){.fit = fit, .buckets = rt_ngrams_buckets(labels)};
    for (size_t i = 0; i < fit->n; i++)
        longest = rt_max(longest, (size_t)(fit->offsets[i + 1] - fit->offsets[i]));
    l->weights = rt_calloc(l->buckets * labels, sizeof *l->weights);
    l->squares = rt_calloc(l->buckets * labels, sizeof *l->squares);
    l->biases = rt_calloc(labels, sizeof *l->biases);
    l->bias_squares = rt_calloc(labels, sizeof *l->bias_squares);
    l->probs = rt_calloc(labels, sizeof *l->probs);
    l->rows = rt_calloc(rt_ngrams_count(longest), sizeof *l->rows);
    l->order = rt_calloc(fit->n, sizeof *l->order);
    bool made = l->weights != NULL && l->squares != NULL && l->biases != NULL && l->bias_squares != NULL &&
                l->probs != NULL && l->rows != NULL && l->order != NULL;
    for (size_t i = 0; made && i < fit->n; i++) l->order[i] = (uint32_t)i;
    return made ? RETORT_OK : rt_fail_nomem(err, 2 * l->buckets * labels * sizeof *l->weights);
}

static void softmax(float *x, size_t n) {
    float most = x[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++) most = fmaxf(most, x[i]);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)exp((double)(x[i] - most));
        sum += (double)x[i];
    }
    for (size_t i = 0; i < n; i++) x[i] = (float)((double)x[i] / sum);
}

static void descend(float *weight, float *squares, float gradient) {
    *squares += gradient * gradient;
    *weight -= RATE * gradient / sqrtf(*squares + LEAST);
}

static void learn(learner *l, size_t text) {
    const rt_fit *fit = l->fit;
    const int32_t *ids = fit->ids + fit->offsets[text];
    const float *target = fit->targets + text * fit->labels;
    size_t n = (size_t)(fit->offsets[text + 1] - fit->offsets[text]), count = rt_ngrams_count(n);
    float norm = count > 0 ? 1 / sqrtf((float)count) : 0;
    memset(l->probs, 0, fit->labels * sizeof *l->probs);
    for (size_t i = 0; i < count; i++) {
        l->rows[i] = rt_ngrams_bucket(ids, n, i, l->buckets) * fit->labels;
        for (size_t c = 0; c < fit->labels; c++) l->probs[c] += l->weights[l->rows[i] + c];
    }
    for (size_t c = 0; c < fit->labels; c++) l->probs[c] = l->biases[c] + norm * l->probs[c];
    softmax(l->probs, fit->labels);
    for (size_t c = 0; c < fit->labels; c++) {
        float gradient = l->probs[c] - target[c];
        descend(&l->biases[c], &l->bias_squares[c], gradient);
        l->probs[c] = gradient * norm;
    }
    for (size_t i = 0; i < count; i++) {
        float *weights = l->weights + l->rows[i], *squares = l->squares + l->rows[i];
        for (size_t c = 0; c < fit->labels; c++) descend(&weights[c], &squares[c], l->probs[c]);
    }
}

static void shuffle(uint32_t *order, size_t n, uint64_t *state) {
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)((rt_random(state) >> 32) * i >> 32);
        uint32_t kept = order[i - 1];
        order[i - 1] = order[k];
        order[k] = kept;
    }
}

/* ---- Integers ---- */

static float rounded(float weight, float scale) {
    float code = scale > 0 ? rintf(weight / scale) : 0;
    return fminf(fmaxf(code, -127), 127);
}

/* Scales tried, each four fifths of the one before. */
enum { CUTS = 11 };

/* The scale of a column with the least squared error: large weights may be cut off. */
static float choose_scale(const learner *l, size_t column) {
    size_t labels = l->fit->labels, count = l->buckets * labels;
    float most = 0, best = 0;
    double least = INFINITY;
    for (size_t i = column; i < count; i += labels) most = fmaxf(most, fabsf(l->weights[i]));
    float scale = most / 127;
    for (int cut = 0; cut < CUTS; cut++) {
        double error = 0;
        for (size_t i = column; i < count; i += labels) {
            double off = (double)(l->weights[i] - scale * rounded(l->weights[i], scale));
            error += off * off;
        }
        if (error < least) least = error, best = scale;
        scale *= 0.8F;
    }
    return best;
}

static retort_status round_weights(rt_ngrams *out, rt_arena *arena, const learner *l, retort_error *err) {
    size_t labels = l->fit->labels, count = l->buckets * labels;
    int8_t *codes = rt_arena_calloc(arena, count, sizeof *codes);
    float *scales = rt_arena_calloc(arena, labels, sizeof *scales),
          *biases = rt_arena_calloc(arena, labels, sizeof *biases);
    if (codes == NULL || scales == NULL || biases == NULL) return rt_fail_nomem(err, count);
    memcpy(biases, l->biases, labels * sizeof *biases);
    for (size_t c = 0; c < labels; c++) {
        scales[c] = choose_scale(l, c);
        for (size_t i = c; i < count; i += labels) codes[i] = (int8_t)rounded(l->weights[i], scales[c]);
    }
    *out = (rt_ngrams){l->buckets, labels, codes, scales, biases};
    return RETORT_OK;
}

retort_status rt_fit_ngrams(rt_ngrams *out, rt_arena *arena, const rt_fit *fit, retort_error *err) {
    learner l;
    uint64_t state = fit->seed;
    retort_status status = learner_open(&l, fit, err);
    for (size_t epoch = 0; status == RETORT_OK && epoch < EPOCHS; epoch++) {
        shuffle(l.order, fit->n, &state);
        for (size_t i = 0; i < fit->n; i++) learn(&l, l.order[i]);
        if (fit->progress != NULL && fit->progress(fit->user, "linear stage", epoch + 1, EPOCHS) != 0)
            status = rt_fail(err, RETORT_CANCELLED, "cascade: cancelled in epoch %zu of the linear stage",
                             epoch + 1);
    }
    if (status == RETORT_OK) status = round_weights(out, arena, &l, err);
    learner_close(&l);
    return status;
}
