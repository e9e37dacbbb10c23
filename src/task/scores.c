/* SPDX-License-Identifier: Apache-2.0 */
#include "task/scores.h"

#include <math.h>

size_t rt_score_best(const float *values, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (values[i] > values[best]) best = i;
    }
    return best;
}

/* Whether score i comes before score j: a higher one, or of equals the first. */
static bool comes_before(const float *scores, uint32_t i, uint32_t j) {
    return scores[i] > scores[j] || (i < j && scores[i] == scores[j]);
}

/* Restores a heap [n] whose root is the last in order, after its element `at` changed. */
static void sift(const float *scores, uint32_t *heap, size_t n, size_t at) {
    uint32_t moved = heap[at];
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && comes_before(scores, heap[child], heap[child + 1])) child++;
        if (!comes_before(scores, moved, heap[child])) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

size_t retort_best(const float *scores, size_t n, uint32_t *best, size_t k) {
    if (k > n) k = n;
    if (scores == NULL || best == NULL) return 0;
    for (size_t i = 0; i < k; i++) best[i] = (uint32_t)i;
    for (size_t i = k / 2; i-- > 0;) sift(scores, best, k, i);
    for (size_t i = k; k > 0 && i < n; i++) {
        if (!comes_before(scores, (uint32_t)i, best[0])) continue;
        best[0] = (uint32_t)i;
        sift(scores, best, k, 0);
    }
    for (size_t end = k; end-- > 1;) {
        uint32_t last = best[0];
        best[0] = best[end];
        best[end] = last;
        sift(scores, best, end, 0);
    }
    return k;
}

void rt_score_softmax(const float *logits, size_t n, float *out) {
    float most = logits[rt_score_best(logits, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i] - most);
    for (size_t i = 0; i < n; i++) out[i] = (float)(exp((double)logits[i] - most) / sum);
}

void rt_score_sigmoid(const float *logits, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = (float)(1 / (1 + exp(-(double)logits[i])));
}

static double identity(double x) {
    return x;
}
static double relu(double x) {
    return x > 0 ? x : 0;
}
static double gelu(double x) {
    return x * 0.5 * (1 + erf(x * 0.70710678118654752440));
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double silu(double x) {
    return x * sigmoid(x);
}
static double leaky_relu(double x) {
    return x > 0 ? x : x * 0.01;
}
static double soft_plus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}
static double mish(double x) {
    return x * tanh(soft_plus(x));
}
static double log_sigmoid(double x) {
    return -soft_plus(-x);
}
static double tanh_shrink(double x) {
    return x - tanh(x);
}
static double soft_sign(double x) {
    return x / (1 + fabs(x));
}

static void score_each(rt_module_act act, const float *logits, size_t n, float *out) {
    static double (*const functions[])(double) = {
        [RT_MODULE_IDENTITY] = identity,
        [RT_MODULE_TANH] = tanh,
        [RT_MODULE_RELU] = relu,
        [RT_MODULE_GELU] = gelu,
        [RT_MODULE_SIGMOID] = sigmoid,
        [RT_MODULE_SILU] = silu,
        [RT_MODULE_LEAKY_RELU] = leaky_relu,
        [RT_MODULE_SOFTPLUS] = soft_plus,
        [RT_MODULE_MISH] = mish,
        [RT_MODULE_LOG_SIGMOID] = log_sigmoid,
        [RT_MODULE_TANH_SHRINK] = tanh_shrink,
        [RT_MODULE_SOFTSIGN] = soft_sign,
    };
    for (size_t i = 0; i < n; i++) out[i] = (float)functions[act](logits[i]);
}

void rt_score_row(const rt_config *config, const float *logits, float *out) {
    const rt_scoring *scoring = &config->scoring;
    size_t n = (size_t)config->labels;
    if (!scoring->stated) {
        retort_scores(config->problem, logits, n, out);
    } else if (scoring->softmax) {
        rt_score_softmax(logits, n, out);
    } else {
        score_each(scoring->act, logits, n, out);
    }
}

double rt_score_log_sum(const float *x, size_t n, size_t stride) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if (x[i * stride] > most) most = x[i * stride];
    for (size_t i = 0; i < n; i++) sum += exp(x[i * stride] - most);
    return most + log(sum);
}

double rt_similarity_of(rt_similarity similarity, const float *a, const float *b, size_t n) {
    double sum = 0;
    if (similarity == RT_COSINE) return rt_cosine(a, b, n);
    for (size_t i = 0; i < n; i++) {
        double x = a[i], y = b[i], apart = x - y;
        sum += similarity == RT_DOT ? x * y : similarity == RT_EUCLIDEAN ? apart * apart : fabs(apart);
    }
    if (similarity == RT_EUCLIDEAN) sum = sqrt(sum);
    return similarity == RT_DOT ? sum : -sum;
}

double rt_cosine(const float *a, const float *b, size_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}
