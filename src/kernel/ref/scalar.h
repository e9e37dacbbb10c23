/* SPDX-License-Identifier: Apache-2.0
 * The approximations and the fixed reduction tree, one element at a time. */
#ifndef RT_KERNEL_REF_SCALAR_H
#define RT_KERNEL_REF_SCALAR_H

#include "kernel/constants.h"
#include "kernel/kernel.h"

#include <math.h>

/* c[0] + c[1] x + … + c[n-1] x^(n-1), by Horner's rule. */
static inline float ref_poly(const float *c, int n, float x) {
    float sum = c[n - 1];
    for (int i = n - 2; i >= 0; i--) sum = fmaf(sum, x, c[i]);
    return sum;
}

static inline float ref_exp(float x) {
    if (isnan(x)) return x;
    if (x < RT_EXP_LOW) return 0.0f;
    float n = rintf(x * RT_LOG2E);
    float r = fmaf(n, -RT_LN2_LOW, fmaf(n, -RT_LN2_HIGH, x));
    float p = fmaf(fmaf(ref_poly(rt_exp_poly, 5, r), r, 1.0f), r, 1.0f);
    return ldexpf(p, (int)n);
}

static inline float ref_gelu(float x) {
    if (isnan(x)) return x;
    float z = fabsf(x) < RT_GELU_LIMIT ? fabsf(x) : RT_GELU_LIMIT;
    float y = fmaf(ref_poly(rt_gelu_poly, 10, z), z, -1.0f);
    float n = rintf(y);
    float t = ldexpf(fmaf(ref_poly(rt_exp2_poly, 6, y - n), y - n, 1.0f), (int)n);
    return fmaf(-z, t, 0.0f > x ? 0.0f : x);
}

static inline float ref_gelu_short(float x) {
    float z = x > -RT_GELU_SHORT_LIMIT ? x : -RT_GELU_SHORT_LIMIT;
    z = z < RT_GELU_SHORT_LIMIT ? z : RT_GELU_SHORT_LIMIT;
    return x * fmaf(ref_poly(rt_gelu_short_poly, 8, z * z), z, 0.5f);
}

static inline float ref_gelu_tanh(float x) {
    float y = x * fmaf(RT_GELU_TANH_B, x * x, RT_GELU_TANH_A);
    return x / (1.0f + ref_exp(y > RT_EXP_HIGH ? RT_EXP_HIGH : y));
}

/* x sigmoid(x) */
static inline float ref_silu(float x) {
    float y = 0.0f - x;
    return x / (1.0f + ref_exp(y > RT_EXP_HIGH ? RT_EXP_HIGH : y));
}

static inline float ref_tanh(float x) {
    float z = fabsf(x) > RT_TANH_LIMIT ? RT_TANH_LIMIT : fabsf(x);
    float near = fmaf(ref_poly(rt_tanh_poly, 4, z * z) * (z * z), z, z);
    float far = 1.0f - 2.0f / (ref_exp(z + z) + 1.0f);
    return copysignf(z < RT_TANH_SPLIT ? near : far, x);
}

static inline float ref_activate(float x, rt_act act) {
    switch (act) {
    case RT_FN_GELU:
        return ref_gelu(x);
    case RT_FN_GELU_TANH:
        return ref_gelu_tanh(x);
    case RT_FN_RELU:
        return 0.0f > x ? 0.0f : x;
    case RT_FN_TANH:
        return ref_tanh(x);
    case RT_FN_SILU:
        return ref_silu(x);
    case RT_FN_GELU_SHORT:
        return ref_gelu_short(x);
    case RT_FN_NONE:
        break;
    }
    return x;
}

/* Sum of 16 lanes in the fixed tree: lane i += lane i+8, then +4, +2, +1. */
static inline float ref_sum16(const float lane[16]) {
    float s[16];
    for (int i = 0; i < 16; i++) s[i] = lane[i];
    for (int step = 8; step > 0; step /= 2) {
        for (int i = 0; i < step; i++) s[i] += s[i + step];
    }
    return s[0];
}

#endif
