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

void rt_score_softmax(const float *logits, size_t n, float *out) {
    float most = logits[rt_score_best(logits, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp((double)logits[i] - most);
    for (size_t i = 0; i < n; i++) out[i] = (float)(exp((double)logits[i] - most) / sum);
}

void rt_score_sigmoid(const float *logits, size_t n, float *out) {
    for (size_t i = 0; i < n; i++) out[i] = (float)(1 / (1 + exp(-(double)logits[i])));
}

double rt_score_log_sum(const float *x, size_t n, size_t stride) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, x[i * stride]);
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
