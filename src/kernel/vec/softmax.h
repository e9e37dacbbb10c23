/* SPDX-License-Identifier: Apache-2.0
 * The softmax of a row of scores, shared by attention and its backward pass. */
#ifndef RT_KERNEL_VEC_SOFTMAX_H
#define RT_KERNEL_VEC_SOFTMAX_H

#include "kernel/vec/math.h"

#include <math.h>

/* p[n] = exp(scale p (+ bias) - max) in place, 0 in the last panel's other columns; returns 1 / sum. Bias: NULL, or
 * whole panels. */
static float softmax(float scale, const float *bias, size_t n, float *p) {
    v16 most = v16_set(-INFINITY), sum = v16_set(0.0f), factor = v16_set(scale);
    size_t whole = n / 16 * 16;
    for (size_t i = 0; i < n; i += 16) {
        v16 x = v16_load(p + i);
        x = bias != NULL ? v16_fma(x, factor, v16_load(bias + i)) : v16_mul(x, factor);
        v16_store(p + i, x);
        if (i == whole) x = v16_first(n - i, x, v16_set(-INFINITY));
        most = v16_max(x, most);
    }
    float max = max16(most);
    for (size_t i = 0; i < n; i += 16) {
        v16 x = exp16(v16_sub(v16_load(p + i), v16_set(max)));
        if (i == whole) x = v16_first(n - i, x, v16_set(0.0f));
        v16_store(p + i, x);
        sum = v16_add(sum, x);
    }
    return n > 0 ? 1.0f / v16_sum(sum) : 0.0f;
}

/* The lanes of x that are columns first…end-1, the others from `other`; x is column i and those after it. */
RT_VERB v16 between(v16 x, size_t i, size_t first, size_t end, v16 other) {
    x = v16_first(end > i ? rt_min(end - i, 16) : 0, x, other);
    return v16_first(first > i ? rt_min(first - i, 16) : 0, other, x);
}

/* p = exp(scale p - max) in place for columns first…end-1, 0 for the others from `from`, a multiple of 16, to the end of
 * the panel before `to`; returns 1 / sum, or 0 without columns. */
static float softmax_between(float scale, size_t from, size_t to, size_t first, size_t end, float *p) {
    v16 low = v16_set(-INFINITY), most = low, sum = v16_set(0.0f), factor = v16_set(scale);
    for (size_t i = from; i < to; i += 16) {
        v16 x = v16_mul(v16_load(p + i), factor);
        v16_store(p + i, x);
        most = v16_max(between(x, i, first, end, low), most);
    }
    float max = max16(most);
    for (size_t i = from; i < to; i += 16) {
        v16 x = between(exp16(v16_sub(v16_load(p + i), v16_set(max))), i, first, end, v16_set(0.0f));
        v16_store(p + i, x);
        sum = v16_add(sum, x);
    }
    return first < end ? 1.0f / v16_sum(sum) : 0.0f;
}

#endif
